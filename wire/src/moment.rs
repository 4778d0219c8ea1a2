//! Moments as text, in the form of RFC 3339.

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1_000;

/// The moment that lies `ms` after the beginning of 1970, in the form that all clients take: in UTC,
/// with a `Z`.
///
/// ```
/// assert_eq!(icecore_wire::moment::rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
/// ```
pub fn rfc3339(ms: u64) -> String {
    let (days, ms) = (ms / MS_PER_DAY, ms % MS_PER_DAY);
    let (year, month, day) = date(days);
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The milliseconds from the beginning of 1970 to a moment in the form of RFC 3339, with any offset
/// and any number of digits of the second; `None` for what is no such text, and for earlier moments.
///
/// ```
/// use icecore_wire::moment::parse;
///
/// assert_eq!(parse("2000-02-28T23:59:59.999123Z"), Some(951_782_399_999));
/// assert_eq!(parse("2000-02-29T01:59:59.999+02:00"), Some(951_782_399_999));
/// assert_eq!(parse("tomorrow"), None);
/// ```
pub fn parse(text: &str) -> Option<u64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let [year, month, day] = numbers(date, b'-', [4, 2, 2])?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let [hour, minute, second] = numbers(rest.get(..8)?, b':', [2, 2, 2])?;
    let (ms, rest) = fraction(rest.get(8..)?)?;
    let offset_minutes = offset(rest)?;
    // A leap second counts as the one after it.
    let is_day = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
    if !is_day || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let minutes = (days(year, month, day)? * 24 + hour) * 60 + minute;
    let minutes = minutes.checked_add_signed(-offset_minutes)?;
    Some((minutes * 60 + second) * 1_000 + ms)
}

/// Three numbers of so many digits, with a sign between them.
fn numbers(text: &str, between: u8, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(char::from(between));
    let numbers = digits.map(|digits| number(parts.next()?, digits));
    let [Some(first), Some(second), Some(third)] = numbers else { return None };
    parts.next().is_none().then_some([first, second, third])
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// The milliseconds of a fraction of a second, if there is one, and what comes after it.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(text) = text.strip_prefix('.') else { return Some((0, text)) };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let ms = text[..digits].bytes().chain(*b"00").take(3);
    let ms = ms.fold(0, |ms, digit| ms * 10 + u64::from(digit - b'0'));
    (digits > 0).then_some((ms, &text[digits..]))
}

/// By how many minutes a clock is ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    let ahead = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    let is_offset = hours <= 23 && minutes <= 59;
    is_offset.then(|| i64::try_from(hours * 60 + minutes).ok().map(|minutes| ahead * minutes))?
}

fn days_of_month(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from the first of January 1970 to a date: Howard Hinnant's `days_from_civil`, for dates
/// after that one. `None` for those before.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year_from_march = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

/// Year, month and day of a day after the first of January 1970: Howard Hinnant's
/// `civil_from_days`, for days after that date. His years begin in March, so that a leap day is the
/// last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_others_write_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_463_931_530), "2026-11-23T19:58:51.530Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        for day in 0..80_000 {
            let ms = day * MS_PER_DAY + day * 1_003 % MS_PER_DAY;
            assert_eq!(parse(&rfc3339(ms)), Some(ms), "{}", rfc3339(ms));
        }
    }

    #[test]
    fn moments_of_others_are_read() {
        assert_eq!(parse("2026-11-23T19:58:51.530593197Z"), Some(1_795_463_931_530));
        assert_eq!(parse("2026-11-23T19:58:51Z"), Some(1_795_463_931_000));
        assert_eq!(parse("2026-11-23t19:58:51.5z"), Some(1_795_463_931_500));
        assert_eq!(parse("2026-11-23T21:28:51.53+01:30"), Some(1_795_463_931_530));
        assert_eq!(parse("2026-11-23T18:58:51.530-01:00"), Some(1_795_463_931_530));
        assert_eq!(parse("1970-01-01T00:30:00+00:30"), Some(0));
        for wrong in [
            "",
            "1970-01-01T00:00:00+00:30",
            "1969-12-31T23:59:59Z",
            "2026-11-23T19:58:51",
            "2026-11-23T19:58:51.Z",
            "2026-11-23T19:58:51+01",
            "2026-11-23T19:58:51ZZ",
            "2026-11-23T19:58Z",
            "2026-13-23T19:58:51Z",
            "2026-02-29T19:58:51Z",
            "2026-00-01T19:58:51Z",
            "2026-11-00T19:58:51Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T+1:00:00Z",
            "20261123T195851Z",
            "2026-11-2\u{e4}T19:58:51Z",
            "2026-11-23T19:58:51\u{e4}",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
