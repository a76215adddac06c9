//! The block store through its public face.

mod collect;
mod damage;
mod store;
mod support;
