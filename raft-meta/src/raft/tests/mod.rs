mod cluster;
pub(crate) mod hosts;
pub(crate) mod machine;
pub(crate) mod net;
mod simulation;
mod suite;

pub(crate) use self::cluster::Nothing;
