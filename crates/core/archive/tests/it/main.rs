//! Archives of many makers are opened and made again.

mod generated;
mod golden;
mod hostile;
mod support;
mod tools;
