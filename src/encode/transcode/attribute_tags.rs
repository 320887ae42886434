//! The tags of an attribute's value and of what is in it.

/// The tag of field 1, length-delimited: the key of a map's entry, the entries of a map, the values
/// of a list or a set.
pub(super) const ONE: u8 = 0x0a;

/// The tag of field 2, length-delimited: the value of a map's entry.
pub(super) const TWO: u8 = 0x12;

/// The greatest length of a name and a text together, in bytes, at which every length in their
/// entry takes one byte.
pub(super) const MOST_SHORT: usize = 127 - 6;

/// The tags of `AttributeValue`'s fields.
pub(super) mod tag {
    pub(crate) const S: u8 = 0x0a;
    pub(crate) const N: u8 = 0x12;
    pub(crate) const B: u8 = 0x1a;
    pub(crate) const SS: u8 = 0x22;
    pub(crate) const NS: u8 = 0x2a;
    pub(crate) const BS: u8 = 0x32;
    pub(crate) const M: u8 = 0x3a;
    pub(crate) const L: u8 = 0x42;
    pub(crate) const NULL: u8 = 0x48;
    pub(crate) const BOOL: u8 = 0x50;
}
