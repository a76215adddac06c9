//! Our clock in the shape that the tree asks for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use cairn_env::Env;
use chrono::{DateTime, Utc};
use slatedb_common::clock::{SystemClock, SystemClockTicker};

/// The clock of an [`Env`].
pub(crate) struct Clock(pub(crate) Env);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl SystemClock for Clock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0.clock.wall_ns())
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.clock.sleep(duration)
    }

    fn ticker<'a>(&'a self, duration: Duration) -> SystemClockTicker<'a> {
        SystemClockTicker::new(self, duration)
    }
}
