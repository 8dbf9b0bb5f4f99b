mod cluster;
mod machine;
mod simulation;
mod suite;
