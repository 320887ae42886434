//! A short tag and a colour per shard, to tell the lines of many shards apart.

use owo_colors::{Style, XtermColors};

use super::shard::short_id;

/// Colours of medium brightness: a contrast of at least 3 to 1 on black and on white, by WCAG. No
/// plain red, which is for losses, nor the green and yellow of the kinds of changes.
const COLORS: [u8; 12] = [27, 30, 33, 62, 66, 94, 99, 127, 130, 136, 162, 168];

/// The digits that AWS draws at random for each shard id; they become its tag.
const DRAWN: usize = 8;

/// The most characters of a tag made from any other id: more would crowd out the line.
const MOST: usize = 12;

/// The shard's colour, by its id alone, so that it is the same tomorrow and in another window.
pub(super) fn style(shard_id: &str) -> Style {
    let index = crc32fast::hash(shard_id.as_bytes()) as usize % COLORS.len();
    Style::new().color(XtermColors::from(COLORS[index]))
}

/// A short name of the shard: the last part of an id of AWS's form, which the commands also accept,
/// else the beginning of the id without the prefix that all ids share.
pub(super) fn tag(shard_id: &str) -> String {
    let drawn =
        |part: &&str| part.len() == DRAWN && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match shard_id.rsplit('-').next().filter(drawn) {
        Some(part) => part.to_owned(),
        None => begin(short_id(shard_id)),
    }
}

fn begin(id: &str) -> String {
    if id.chars().count() <= MOST {
        return id.to_owned();
    }
    id.chars().take(MOST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_aws_draws_for_each_shard() {
        assert_eq!(tag("shardId-00000001477207595861-d35d208d"), "d35d208d");
        assert_eq!(tag("shardId-00000001-orders"), "1-orders");
        assert_eq!(tag("shardId-00000001-shardstream-demo"), "1-shardstre…");
    }

    #[test]
    fn a_colour_is_the_shards_own() {
        let painted = |id: &str| style(id).style("x").to_string();
        assert_eq!(painted("shardId-1"), painted("shardId-1"));
        let different: std::collections::BTreeSet<_> =
            (0..50).map(|id| painted(&format!("shardId-{id}"))).collect();
        assert_eq!(different.len(), COLORS.len());
    }

    /// The luminance of a colour of the 6x6x6 cube.
    fn luminance(color: u8) -> f64 {
        let level = |step: u8| match step {
            0 => 0.0,
            step => f64::from(55 + 40 * u32::from(step)) / 255.0,
        };
        let linear = |value: f64| {
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let cube = color - 16;
        let [red, green, blue] =
            [cube / 36, cube / 6 % 6, cube % 6].map(|step| linear(level(step)));
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn every_colour_can_be_read_on_black_and_on_white() {
        for color in COLORS {
            let luminance = luminance(color);
            let (on_black, on_white) = ((luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05));
            assert!(
                on_black >= 3.0 && on_white >= 3.0,
                "{color}: {on_black:.1} on black, {on_white:.1} on white"
            );
        }
    }
}
