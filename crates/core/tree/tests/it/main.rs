//! Tests of the tree's format as a whole, through its public face.

mod golden;
mod hostile;
mod locality;
mod model;
mod size;
mod support;
