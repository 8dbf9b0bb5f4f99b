mod cluster;
pub(crate) mod machine;
mod simulation;
mod suite;

pub(crate) use self::cluster::Nothing;
