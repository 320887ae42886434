package shardstream;

import shardstream.v1.AttributeValue;

/**
 * A value of a type that this release does not know.
 *
 * @param raw has all of it
 */
public record UnknownValue(AttributeValue raw) {}
