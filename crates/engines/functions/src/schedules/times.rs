use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 256;
/// Years in which times are searched: one that never comes is not searched for in all time.
const YEARS: &str = "1970-2100";

/// The times of a schedule: an expression as of cron, in a time zone. Where a clock is set forward, a time that does not come
/// is taken when it would have; where it is set back, one that comes twice is taken once.
pub(crate) struct Times {
    cron: Cron,
    zone: TimeZone,
}

impl Times {
    pub(crate) fn of(expression: &str, zone: &str) -> Result<Self, String> {
        if expression.len() > EXPRESSION_BYTES_MAX || !expression.is_ascii() {
            return Err(format!("a schedule has at most {EXPRESSION_BYTES_MAX} ASCII characters"));
        }
        let wrong = |why: &dyn std::fmt::Display| {
            format!(
                "{expression:?} is no schedule: {why}; write minute, hour, day, month and day of the week, as \
                 in '*/5 * * * *'"
            )
        };
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        // A list with nothing in it would be searched for to the end of time.
        if fields.iter().any(|field| field.split(',').any(str::is_empty)) {
            return Err(wrong(&"a part of a list is empty"));
        }
        let whole = match fields[..] {
            [_, _, _, _, _] => format!("0 {expression} {YEARS}"),
            [_, _, _, _, _, _] => format!("{expression} {YEARS}"),
            [alias] if alias.starts_with('@') => expression.to_owned(),
            _ => return Err(wrong(&"it has five fields, or six")),
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
        let cron = parser.parse(&whole).map_err(|error| wrong(&error))?;
        let found = jiff::tz::TimeZoneDatabase::bundled().get(zone);
        let zone = found.map_err(|error| format!("{zone:?} is no time zone: {error}"))?;
        Ok(Self { cron, zone })
    }

    /// The first time after this one; all in milliseconds since 1970.
    pub(crate) fn after(&self, ms: u64) -> Option<u64> {
        self.cron.find_next_occurrence(&self.zoned(ms)?, false).ok().and_then(|found| since(&found))
    }

    /// The last time up to this one.
    pub(crate) fn upto(&self, ms: u64) -> Option<u64> {
        let found = self.cron.find_previous_occurrence(&self.zoned(ms)?, true);
        found.ok().and_then(|found| since(&found))
    }

    fn zoned(&self, ms: u64) -> Option<Zoned> {
        let at = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

fn since(at: &Zoned) -> Option<u64> {
    u64::try_from(at.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn after(expression: &str, zone: &str, from: &str) -> u64 {
        Times::of(expression, zone).unwrap().after(at(from)).unwrap()
    }

    #[test]
    fn times_are_of_their_zone() {
        let noon = after("0 12 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z");
        assert_eq!(noon, at("2026-07-01T10:00:00Z"));
        let noon = after("0 12 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z");
        assert_eq!(noon, at("2026-01-01T11:00:00Z"));
        let seconds = after("*/10 * * * * *", "UTC", "2026-01-01T00:00:01Z");
        assert_eq!(seconds, at("2026-01-01T00:00:10Z"));
        let weekday = after("30 6 * * MON", "UTC", "2026-11-24T00:00:00Z");
        assert_eq!(weekday, at("2026-11-30T06:30:00Z"));
    }

    /// On 2026-03-29 the clocks of Berlin go from 2:00 to 3:00, on 2026-10-25 from 3:00 to 2:00.
    #[test]
    fn a_day_on_which_clocks_are_set_has_each_daily_time_once() {
        let times = Times::of("30 2 * * *", "Europe/Berlin").unwrap();
        for (from, to) in [
            ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ] {
            let (mut ms, mut count) = (at(from), 0);
            while let Some(next) = times.after(ms).filter(|next| *next < at(to)) {
                (ms, count) = (next, count + 1);
            }
            assert_eq!(count, 2, "{from}");
        }
    }

    /// What never comes is known to in a moment: of some the search looks at every minute of some days.
    #[test]
    fn what_never_comes_is_not_searched_for_in_all_time() {
        for never in ["0 0 30 2 *", "* * 2 25-31 3 +SUN", "0 0 31 2,4,6 *"] {
            let times = Times::of(never, "Europe/Berlin").unwrap();
            assert!(times.after(at("2026-01-01T00:00:00Z")).is_none_or(|ms| ms > 0), "{never}");
        }
        for wrong in [", * * * *", "* , * * * *", "1,,2 * * * *", "* * * * * * *", "* * * *", "@"] {
            assert!(Times::of(wrong, "UTC").is_err(), "{wrong}");
        }
    }

    proptest! {
        /// Whatever is written: a time after another is after it, one up to another is not.
        #[test]
        fn any_text_is_a_schedule_or_refused(text in "[-*/0-9,LW#?@A-Z ]{0,40}", ms in 0u64..4_000_000_000_000) {
            if let Ok(times) = Times::of(&text, "Europe/Berlin") {
                prop_assert!(times.after(ms).is_none_or(|next| next > ms), "{text:?}");
                prop_assert!(times.upto(ms).is_none_or(|last| last <= ms), "{text:?}");
            }
        }

        /// No time lies between a time and the one after it.
        #[test]
        fn nothing_is_between_a_time_and_the_next(
            second in 0u8..60, minute in 0u8..60, hour in "[*]|[*]/[1-9]|1?[0-9]", ms in 1_000_000_000_000u64..2_000_000_000_000,
        ) {
            let times = Times::of(&format!("{second} {minute} {hour} * * *"), "America/New_York").unwrap();
            let next = times.after(ms).unwrap();
            prop_assert!(times.upto(next).unwrap() == next);
            prop_assert!(times.upto(next - 1).unwrap() <= ms);
        }
    }
}
