//! How a person wants a record's line to look: text with placeholders.

use std::str::FromStr;

/// A line to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its pieces, in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// What the record says there.
    Field(Field),
}

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// When the item changed.
    Time,
    /// INSERT, MODIFY or REMOVE.
    Type,
    /// The shard's id.
    Shard,
    /// The sequence number.
    Sequence,
    /// The item's key.
    Key,
    /// The item after the change.
    New,
    /// The item before the change.
    Old,
    /// The id of the change.
    Id,
}

/// The placeholders by name.
const FIELDS: [(&str, Field); 8] = [
    ("time", Field::Time),
    ("type", Field::Type),
    ("shard", Field::Shard),
    ("sequence", Field::Sequence),
    ("key", Field::Key),
    ("new", Field::New),
    ("old", Field::Old),
    ("id", Field::Id),
];

/// Why a template was refused; the text is for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such placeholder.
    #[error("there is no {{{0}}}; there are {names}", names = names())]
    Unknown(String),
    /// A brace alone.
    #[error("a brace stands alone; write {{{{ or }}}} for the character itself. Placeholders: {names}", names = names())]
    Brace,
}

fn names() -> String {
    FIELDS.map(|(name, _)| format!("{{{name}}}")).join(" ")
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(doubled) =
                ["{{", "}}"].into_iter().find(|doubled| from.starts_with(doubled))
            {
                plain.push_str(&doubled[..1]);
                rest = &from[2..];
                continue;
            }
            let (name, after) = from
                .strip_prefix('{')
                .and_then(|inside| inside.split_once('}'))
                .ok_or(TemplateError::Brace)?;
            let known = FIELDS.iter().find(|(known, _)| *known == name);
            let (_, field) = known.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            push_text(&mut pieces, &mut plain);
            pieces.push(Piece::Field(*field));
            rest = after;
        }
        plain.push_str(rest);
        push_text(&mut pieces, &mut plain);
        Ok(Self { pieces })
    }
}

fn push_text(pieces: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_placeholders_alternate() {
        let template: Template = "at {time}: {{{key}}}{id}".parse().expect("a template");
        let text = |text: &str| Piece::Text(text.to_owned());
        let field = Piece::Field;
        let expected = [
            text("at "),
            field(Field::Time),
            text(": {"),
            field(Field::Key),
            text("}"),
            field(Field::Id),
        ];
        assert_eq!(template.pieces, expected);
        assert_eq!("".parse::<Template>().expect("nothing to fill in").pieces, []);
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let error = "{time} {size}".parse::<Template>().expect_err("no size");
        let told =
            "there is no {size}; there are {time} {type} {shard} {sequence} {key} {new} {old} {id}";
        assert_eq!(error.to_string(), told);
        for alone in ["{time", "time}", "}{", "{"] {
            assert_eq!(alone.parse::<Template>(), Err(TemplateError::Brace), "{alone}");
        }
    }
}
