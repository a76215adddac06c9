//! The bucket from outside.

mod basics;
