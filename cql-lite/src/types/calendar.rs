//! Days, months and years: the proleptic Gregorian calendar, counted from 1970-01-01.

/// Milliseconds of a day.
pub const DAY_MILLIS: i64 = 86_400_000;
/// Nanoseconds of a day.
pub const DAY_NANOS: i64 = DAY_MILLIS * 1_000_000;
/// The serialized `date` of 1970-01-01.
pub const DATE_EPOCH: u32 = 1 << 31;

/// Days of 400 years, after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_FROM_MARCH_0: i64 = 719_468;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilDate {
    /// The year; 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

impl CivilDate {
    /// A date that exists, or `None`.
    pub fn new(year: i64, month: u32, day: u32) -> Option<CivilDate> {
        let valid = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        valid.then_some(CivilDate { year, month, day })
    }

    /// The date `days` days after 1970-01-01.
    pub fn from_days(days: i64) -> CivilDate {
        // Years are counted from March, so that the leap day is the last of its year.
        let shifted = days + EPOCH_FROM_MARCH_0;
        let cycle = shifted.div_euclid(CYCLE_DAYS);
        let day_of_cycle = shifted.rem_euclid(CYCLE_DAYS);
        let leap_days_passed =
            day_of_cycle / 1_460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
        let year_of_cycle = (day_of_cycle - leap_days_passed) / 365;
        let year_start = 365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100;
        let day_of_year = day_of_cycle - year_start;
        // Months from March have 31 30 31 30 31, 31 30 31 30 31, 31 … days: 153 in five.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
        CivilDate { year, month: month as u32, day: day as u32 }
    }

    /// Days after 1970-01-01.
    pub fn to_days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let cycle = year.div_euclid(400);
        let year_of_cycle = year.rem_euclid(400);
        let month_from_march = i64::from((self.month + 9) % 12);
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let day_of_cycle =
            365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
        cycle * CYCLE_DAYS + day_of_cycle - EPOCH_FROM_MARCH_0
    }

    /// The same day `months` months later, or the last day of that month if it is shorter.
    pub fn add_months(self, months: i64) -> CivilDate {
        let total = self.year * 12 + i64::from(self.month) - 1 + months;
        let year = total.div_euclid(12);
        let month = total.rem_euclid(12) as u32 + 1;
        CivilDate { year, month, day: self.day.min(days_in_month(year, month)) }
    }
}

/// The number of days of a month.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The serialized `date` of the day that holds `millis`, or `None` outside its range.
pub fn date_of_millis(millis: i64) -> Option<u32> {
    date_of_days(millis.div_euclid(DAY_MILLIS))
}

/// The serialized `date` of the day `days` after 1970-01-01, or `None` outside its range.
pub fn date_of_days(days: i64) -> Option<u32> {
    u32::try_from(days.checked_add(i64::from(DATE_EPOCH))?).ok()
}

/// Days after 1970-01-01 of a serialized `date`.
pub fn days_of_date(date: u32) -> i64 {
    i64::from(date) - i64::from(DATE_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        let cases = [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (-719_468, (0, 3, 1)),
            (-25_509, (1900, 2, 28)),
            (-25_508, (1900, 3, 1)),
        ];
        for (days, (year, month, day)) in cases {
            let date = CivilDate { year, month, day };
            assert_eq!(CivilDate::from_days(days), date);
            assert_eq!(date.to_days(), days);
        }
    }

    #[test]
    fn every_day_comes_back_and_follows_the_one_before() {
        let mut before = CivilDate::from_days(-800_001);
        for days in -800_000..800_000 {
            let date = CivilDate::from_days(days);
            assert_eq!(date.to_days(), days);
            let next_day = CivilDate::new(before.year, before.month, before.day + 1);
            let next_month = CivilDate { day: 1, ..before.add_months(1) };
            assert_eq!(date, next_day.unwrap_or(next_month));
            before = date;
        }
    }

    #[test]
    fn months_end_where_they_end() {
        let end_of_january = CivilDate::new(2024, 1, 31).unwrap();
        assert_eq!(end_of_january.add_months(1), CivilDate::new(2024, 2, 29).unwrap());
        assert_eq!(end_of_january.add_months(-2), CivilDate::new(2023, 11, 30).unwrap());
        assert_eq!(CivilDate::new(2023, 2, 29), None);
        assert_eq!(CivilDate::new(2023, 13, 1), None);
    }
}
