//! A range of the groups of an account and Region.

use serde::{Deserialize, Serialize};

/// The groups whose id comes after `after` and not after `until`, in text order. The table sorts ids the same way.
///
/// The default is all groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRange {
    /// The range begins after this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The range ends with this id, which is included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The prefix of every id.
const PREFIX: &str = "sg-";

/// The end of the new ids. New ids are `sg-0` and 16 more digits; the eight digits of old ids begin with any digit. The
/// lengths are from EC2 User Guide, "Resource IDs". The zero, and that the other digits look random, comes from
/// published ids and is not documented.
const END_OF_LONG_IDS: &str = "sg-1";

/// How many digits after the prefix count for an id's place.
const DIGITS: usize = 13;

impl GroupRange {
    /// A range with this group. It may hold other groups whose ids differ in the last digit only, because no text is
    /// the next one before an id.
    pub fn around(id: &str) -> Self {
        let last = id.char_indices().last().map_or(0, |(place, _)| place);
        Self {
            after: Some(id[..last].to_owned()),
            until: Some(id.to_owned()),
        }
    }

    /// Whether the range holds this id.
    pub fn contains(&self, id: &str) -> bool {
        self.after.as_deref().is_none_or(|after| id > after)
            && self.until.as_deref().is_none_or(|until| id <= until)
    }

    /// Whether the range is all groups.
    pub fn is_all(&self) -> bool {
        self.after.is_none() && self.until.is_none()
    }

    /// The part of the range after an id.
    #[must_use]
    pub fn behind(&self, id: &str) -> Self {
        Self {
            after: Some(id.to_owned()),
            until: self.until.clone(),
        }
    }

    /// The part of the range up to an id, which is included.
    #[must_use]
    pub fn up_to(&self, id: &str) -> Self {
        Self {
            after: self.after.clone(),
            until: Some(id.to_owned()),
        }
    }

    /// Cuts the range into at most `most` ranges, each about as wide as `like`. Together they are this range, and no
    /// group is in two of them.
    ///
    /// Ids look random, so ranges of equal width hold about equally many groups. If that is wrong, only the work is
    /// divided less evenly.
    pub fn split(&self, like: &Self, most: usize) -> Vec<Self> {
        let (from, end, long) = (self.from(), self.end(), place(END_OF_LONG_IDS));
        // Old ids are few, so one range covers them, unless this range begins among them.
        let dense_end = if from < long { end.min(long) } else { end };
        let bound = |place: u64| match from < long {
            true => place.min(long),
            false => place.max(long),
        };
        let width = bound(like.end()).saturating_sub(bound(like.from())).max(1);
        let room = u64::try_from(most.saturating_sub(1).max(1)).unwrap_or(u64::MAX);
        let dense = dense_end.saturating_sub(from);
        let pieces = dense.div_ceil(width).clamp(1, room);
        let step = dense.div_ceil(pieces).max(1);
        let inner = (1..pieces).map(|n| from.saturating_add(n.saturating_mul(step)));
        let mut cuts: Vec<u64> = inner.filter(|cut| *cut < dense_end).collect();
        if from < dense_end && dense_end < end && most > 1 {
            cuts.push(dense_end);
        }
        let mut parts = Vec::new();
        let mut rest = self.clone();
        for cut in cuts {
            let cut = text_of(cut);
            if !rest.contains(&cut) {
                continue;
            }
            parts.push(rest.up_to(&cut));
            rest = rest.behind(&cut);
        }
        parts.push(rest);
        parts
    }

    fn from(&self) -> u64 {
        self.after.as_deref().map_or(0, place)
    }

    fn end(&self) -> u64 {
        self.until
            .as_deref()
            .map_or(u64::MAX >> (64 - 4 * DIGITS), place)
    }
}

/// The place of an id among all ids. A character that is not a hexadecimal digit counts as the digit nearest to it in
/// text order.
fn place(id: &str) -> u64 {
    let Some(digits) = id.strip_prefix(PREFIX) else {
        return if id < PREFIX {
            0
        } else {
            u64::MAX >> (64 - 4 * DIGITS)
        };
    };
    let digits = digits.bytes().chain(std::iter::repeat(b'0')).take(DIGITS);
    digits.fold(0, |place, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            below if below < b'0' => 0,
            between if between < b'a' => 9,
            _ => 15,
        };
        (place << 4) | u64::from(value)
    })
}

fn text_of(place: u64) -> String {
    format!("{PREFIX}{place:0DIGITS$x}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(after: Option<&str>, until: Option<&str>) -> GroupRange {
        GroupRange {
            after: after.map(str::to_owned),
            until: until.map(str::to_owned),
        }
    }

    #[test]
    fn a_range_around_a_group_holds_it_and_few_others() {
        let range = GroupRange::around("sg-0abc");
        let inside = ["sg-0abc", "sg-0ab", "sg-0aa", "sg-0abd"].map(|id| range.contains(id));
        assert_eq!(inside, [true, false, false, false]);
    }

    #[test]
    fn it_begins_behind_one_group_and_ends_with_another() {
        let range = range(Some("sg-0a"), Some("sg-0c"));
        let inside = ["sg-0a", "sg-0a0", "sg-0c", "sg-0c0"].map(|id| range.contains(id));
        assert_eq!(inside, [false, true, true, false]);
        assert!(GroupRange::default().contains("anything") && GroupRange::default().is_all());
    }

    #[test]
    fn parts_are_as_wide_as_what_was_done_and_old_ids_are_one() {
        let done = range(None, Some("sg-02"));
        let ranges = range(Some("sg-02"), None).split(&done, 90);
        let cuts: Vec<_> = ranges
            .iter()
            .filter_map(|range| range.until.clone())
            .collect();
        let expected: Vec<_> = (2..=8)
            .map(|n| text_of(place(&format!("sg-{:02x}", 2 * n))))
            .collect();
        assert_eq!(
            cuts, expected,
            "seven more of two sixteenths, and behind sg-1 the rest"
        );
        assert_eq!(ranges.len(), 8);
        assert_eq!(ranges.last().and_then(|range| range.until.clone()), None);
    }

    #[test]
    fn there_are_no_more_parts_than_may_be() {
        let done = range(None, Some("sg-00000001"));
        assert_eq!(range(Some("sg-00000001"), None).split(&done, 90).len(), 90);
        assert_eq!(
            GroupRange::default().split(&done, 1),
            [GroupRange::default()]
        );
    }

    proptest! {
        #[test]
        fn every_group_of_a_part_is_in_just_one_of_its_pieces(
            after in proptest::option::of("sg-[0-9a-f]{2,17}"),
            until in proptest::option::of("sg-[0-9a-f]{2,17}"),
            done in "sg-[0-9a-f]{2,17}",
            ids in proptest::collection::vec("sg-0?[0-9a-f]{8,16}|sg-[a-z]{0,3}|[a-z]{1,4}", 1..40),
            most in 1_usize..100,
        ) {
            let whole = GroupRange { after, until };
            let pieces = whole.split(&GroupRange::default().up_to(&done), most);
            prop_assert!(pieces.len() <= most.max(1));
            for id in ids {
                let holders = pieces.iter().filter(|piece| piece.contains(&id)).count();
                prop_assert_eq!(holders, usize::from(whole.contains(&id)), "{} in {:?}", id, pieces);
            }
        }
    }
}
