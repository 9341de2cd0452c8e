//! A range of the groups of an account and Region.

use serde::{Deserialize, Serialize};

/// The groups whose id comes after one text and not after another, in the order of text, which is the table's.
///
/// The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRange {
    /// The first group is the one after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The last group is this one, or the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// What every id begins with.
const PREFIX: &str = "sg-";

/// Ids of today are `sg-0` and 16 more digits; the eight digits of old ones may begin with any. Lengths: EC2 User Guide,
/// "Resource IDs"; the zero, and that the other digits look random, is seen in published ids and stated nowhere.
const END_OF_LONG_IDS: &str = "sg-1";

/// Digits behind the prefix that tell places apart.
const DIGITS: usize = 13;

impl GroupRange {
    /// One group, and perhaps others whose ids differ from its id in the last digit only: no text is the one before an id.
    pub fn around(id: &str) -> Self {
        let last = id.char_indices().last().map_or(0, |(place, _)| place);
        Self {
            after: Some(id[..last].to_owned()),
            until: Some(id.to_owned()),
        }
    }

    /// Whether a group is in it.
    pub fn contains(&self, id: &str) -> bool {
        self.after.as_deref().is_none_or(|after| id > after)
            && self.until.as_deref().is_none_or(|until| id <= until)
    }

    /// Whether it is all groups.
    pub fn is_all(&self) -> bool {
        self.after.is_none() && self.until.is_none()
    }

    /// What is left of it behind a group.
    #[must_use]
    pub fn behind(&self, id: &str) -> Self {
        Self {
            after: Some(id.to_owned()),
            until: self.until.clone(),
        }
    }

    /// What of it is not behind a group.
    #[must_use]
    pub fn up_to(&self, id: &str) -> Self {
        Self {
            after: self.after.clone(),
            until: Some(id.to_owned()),
        }
    }

    /// Cuts it into ranges about as wide as `like`, at most `most` of them: together they are this range, no group is in
    /// two.
    ///
    /// Ids look random, so ranges of one width hold about as many groups each. Nothing depends on that but how evenly the
    /// work is divided.
    pub fn split(&self, like: &Self, most: usize) -> Vec<Self> {
        let (from, end, long) = (self.from(), self.end(), place(END_OF_LONG_IDS));
        // Where hardly any id is, one range will do, unless that is where the work is.
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

/// Where an id stands among all ids. Whatever is no hexadecimal digit stands where its neighbours in the order of text do.
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
