//! Functions that others' compilers made, run to their limits.

mod cache;
mod commands;
mod lab;
mod limits;
mod requests;
