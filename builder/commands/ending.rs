//! What a build says of certificates that end soon.

use crate::values::{Epoch, SOON_DAYS, counted};

/// The end of a sentence about certificates of which the first ends then; nothing where that is far away.
pub fn ending(expires: Epoch, now: Epoch) -> Option<String> {
    match now.days_until(expires) {
        None => Some("have expired".to_owned()),
        Some(0) => Some("expire within a day".to_owned()),
        Some(days) if days < SOON_DAYS => {
            Some(format!("expire in {}", counted(usize::try_from(days).unwrap_or(usize::MAX), "day")))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Lifetime;

    #[test]
    fn an_end_is_told_a_month_before() {
        let now: Epoch = "2030-01-31".parse().unwrap();
        let after = |lifetime: Lifetime| ending(now.plus(lifetime), now);
        assert_eq!(ending(now.minus(Lifetime::hours(1)), now).as_deref(), Some("have expired"));
        assert_eq!(after(Lifetime::hours(23)).as_deref(), Some("expire within a day"));
        assert_eq!(after(Lifetime::days(1)).as_deref(), Some("expire in 1 day"));
        assert_eq!(after(Lifetime::days(29)).as_deref(), Some("expire in 29 days"));
        assert_eq!(after(Lifetime::days(30)), None);
    }
}
