//! What is at AWS: who we are there, what we may do, and what time it is.

use std::time::Duration;

use super::super::options;
use super::Finding;
use crate::clock::Clock;
use crate::config::UpstreamConfig;
use crate::model::{ShardId, StreamArn, Timestamp};
use crate::upstream::aws::{AwsUpstream, ConnectError, caller_identity};
use crate::upstream::{Endpoint, ErrorClass, IteratorStart, Upstream, UpstreamError};

/// How far apart clocks may be: `Date` has whole seconds.
const APART: Duration = Duration::from_secs(5);

/// How far apart AWS takes signatures.
const REFUSED: Duration = Duration::from_secs(300);

/// Looks at all of it.
pub(super) async fn look(config: &UpstreamConfig) -> Vec<Finding> {
    let upstream = match AwsUpstream::connect(options(config)).await {
        Ok(upstream) => upstream,
        Err(error) => return vec![Finding::fail("endpoint", error.to_string(), mend(&error))],
    };
    let traits = upstream.traits();
    let region = &traits.region;
    let mut findings = vec![match traits.endpoint {
        Endpoint::Aws => Finding::ok("endpoint", format!("AWS, region {region}")),
        Endpoint::Custom(url) => {
            Finding::ok("endpoint", format!("{url} in AWS's place, region {region}"))
        }
    }];
    findings.push(identity(config).await);
    calls(&upstream, &mut findings).await;
    findings
}

fn mend(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::NoRegion => "--aws-region, AWS_REGION or a region in the profile",
        ConnectError::Endpoint(_) => "--aws-endpoint-url or the variable that says it",
        ConnectError::Roots { .. } => "--aws-ca-bundle, AWS_CA_BUNDLE or the file itself",
    }
}

/// Who AWS says that we are.
async fn identity(config: &UpstreamConfig) -> Finding {
    if config.fake_credentials {
        return Finding::ok("identity", "a made-up key, for emulators");
    }
    if config.endpoint_url.is_some() {
        return Finding::ok("identity", "not asked for: --aws-endpoint-url stands in for AWS");
    }
    match caller_identity(options(config)).await {
        Ok(arn) => Finding::ok("identity", arn),
        Err(why) => Finding::warn(
            "identity",
            format!("AWS does not say who we are: {why}"),
            "give credentials as to every AWS program (role, profile, AWS_ACCESS_KEY_ID); \
             if those below are ok, only STS cannot be reached",
        ),
    }
}

/// Tries the four calls, each once, on what the one before found. They read, and no more than a
/// server reads in a second.
async fn calls(upstream: &AwsUpstream, findings: &mut Vec<Finding>) {
    let streams = match upstream.list_streams(None, None, 100).await {
        Ok(page) => page.streams,
        Err(error) => return findings.push(refused("ListStreams", &error)),
    };
    let (many, more) = (streams.len(), if streams.len() == 100 { " or more" } else { "" });
    findings.push(Finding::ok("ListStreams", format!("{many}{more} streams")));
    let mut date = None;
    let mut shard = None;
    for stream in streams.iter().take(MOST_STREAMS) {
        match upstream.describe_stream(&stream.arn, None, None).await {
            Ok(page) => {
                date = page.date;
                shard = page.shards.last().map(|shard| (stream.arn.clone(), shard.id.clone()));
            }
            Err(error) => return findings.push(refused("DescribeStream", &error)),
        }
        if shard.is_some() {
            break;
        }
    }
    match (many, &shard) {
        (0, _) => findings.push(untried("DescribeStream", "there is no stream")),
        (_, None) => {
            findings.push(Finding::ok("DescribeStream", "the first streams have no shards"));
        }
        (_, Some((stream, _))) => findings.push(Finding::ok("DescribeStream", stream.as_str())),
    }
    match shard {
        Some((stream, shard)) => records(upstream, &stream, &shard, findings).await,
        None => findings.extend([
            untried("GetShardIterator", "there is no shard"),
            untried("GetRecords", "there is no shard"),
        ]),
    }
    findings.push(clock(date, Clock::system().now().wall));
}

/// How many streams are looked at for one with a shard.
const MOST_STREAMS: usize = 3;

async fn records(
    upstream: &AwsUpstream,
    stream: &StreamArn,
    shard: &ShardId,
    findings: &mut Vec<Finding>,
) {
    // What is not there yet costs nothing.
    let issued = match upstream.shard_iterator(stream, shard, IteratorStart::Latest).await {
        Ok(issued) => issued,
        Err(error) => return findings.push(refused("GetShardIterator", &error)),
    };
    findings.push(Finding::ok("GetShardIterator", shard.as_str()));
    findings.push(match upstream.records(&issued.iterator, 1).await {
        Ok(_) => Finding::ok("GetRecords", shard.as_str()),
        Err(error) => refused("GetRecords", &error),
    });
}

fn untried(check: &'static str, why: &str) -> Finding {
    let mend = "enable a stream on a table, then ask again";
    Finding::warn(check, format!("not tried: {why}"), mend)
}

fn refused(check: &'static str, error: &UpstreamError) -> Finding {
    let mend = match error.class {
        ErrorClass::AccessDenied => {
            return Finding::fail(
                check,
                error.to_string(),
                format!(
                    "allow dynamodb:{check} to this identity, and see to it that its credentials \
                     are valid and this machine's clock is right"
                ),
            );
        }
        ErrorClass::Throttled => "ask again: others use up AWS's rate of these calls",
        ErrorClass::Unavailable => "see to it that this machine reaches the endpoint",
        ErrorClass::NotFound | ErrorClass::Trimmed | ErrorClass::ExpiredIterator => {
            "ask again: it has gone meanwhile"
        }
        ErrorClass::Invalid => "see to it that the endpoint is DynamoDB Streams",
    };
    match error.class {
        ErrorClass::Throttled
        | ErrorClass::NotFound
        | ErrorClass::Trimmed
        | ErrorClass::ExpiredIterator => Finding::warn(check, error.to_string(), mend),
        _ => Finding::fail(check, error.to_string(), mend),
    }
}

/// How far this machine's clock is from AWS's.
fn clock(date: Option<Timestamp>, now: Timestamp) -> Finding {
    let Some(date) = date else {
        return Finding::warn("clock", "not known: no answer said the time", "ask again");
    };
    let (apart, mend) = (date.apart(now), "run chrony or systemd-timesyncd");
    let what = format!("{} seconds from AWS's", apart.as_secs());
    if apart >= REFUSED {
        Finding::fail("clock", what, mend)
    } else if apart > APART {
        Finding::warn("clock", what, mend)
    } else {
        Finding::ok("clock", what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn clocks_may_be_some_seconds_apart() {
        let at = |seconds: i64| Timestamp::new(1_800_000_000 + seconds, 0).expect("a time");
        for (ours, verdict) in [
            (0, Verdict::Ok),
            (-5, Verdict::Ok),
            (6, Verdict::Warn),
            (-299, Verdict::Warn),
            (300, Verdict::Fail),
            (-86_400, Verdict::Fail),
        ] {
            assert_eq!(clock(Some(at(0)), at(ours)).verdict, verdict, "{ours}");
        }
        assert_eq!(clock(None, at(0)).verdict, Verdict::Warn);
    }
}
