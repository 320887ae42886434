use proptest::prelude::*;

use super::super::principal::PrincipalKind;
use super::*;

const POLICY: &str = r#"
[[rule]]
principals = ["mtls:spiffe://prod/ns/billing/*", "token:ci"]
actions = ["read", "inspect"]
streams = ["table/orders-*", "arn:aws:dynamodb:eu-*:1234*:table/users/stream/*"]

[[rule]]
principals = ["*"]
actions = ["list"]
streams = ["*"]
"#;

fn token(name: &str) -> Principal {
    Principal::new(PrincipalKind::Token, name).expect("a name")
}

fn stream(region: &str, table: &str) -> StreamArn {
    let arn = format!("arn:aws:dynamodb:{region}:123456789012:table/{table}/stream/2026-01-01");
    StreamArn::parse(&arn).expect("an ARN")
}

fn table(name: &str) -> TableName {
    TableName::parse(name).expect("a name")
}

#[test]
fn what_no_rule_allows_is_denied() {
    let policy = Policy::parse(POLICY).expect("a policy");
    let orders = stream("us-east-1", "orders-eu");
    assert!(policy.allows(&token("ci"), Action::Read, &orders));
    assert!(!policy.allows(&token("ci2"), Action::Read, &orders), "another token");
    assert!(!policy.allows(&token("ci"), Action::Read, &stream("us-east-1", "orders")));
    assert!(policy.allows(&token("ci"), Action::Read, &stream("eu-west-1", "users")));
    assert!(!policy.allows(&token("ci"), Action::Read, &stream("us-east-1", "users")));
    let billing = Principal::new(PrincipalKind::Mtls, "spiffe://prod/ns/billing/sa/a").expect("ok");
    assert!(policy.allows(&billing, Action::Inspect, &orders));
    assert!(policy.allows(&token("x"), Action::List, &orders));
    assert!(!policy.allows(&token("x"), Action::Inspect, &orders));
    assert!(policy.grants(&token("x"), Action::List) && !policy.grants(&token("x"), Action::Read));
    // The same name of another kind is somebody else.
    let other = Principal::new(PrincipalKind::Mtls, "ci").expect("ok");
    assert!(!policy.allows(&other, Action::Read, &orders));
}

#[test]
fn a_judgement_names_the_first_rule_that_allows() {
    let rule = |who: &str, stream: &str| {
        format!(
            "[[rule]]\nprincipals = [\"{who}\"]\nactions = [\"read\"]\nstreams = [\"{stream}\"]\n"
        )
    };
    let arn = "arn:aws:dynamodb:*:*:table/orders/stream/*";
    let text = rule("token:b", "*")
        + &rule("token:a*", arn)
        + &rule("token:a", "table/orders")
        + &rule("token:*", "table/ord*")
        + &rule("token:a", "*");
    let policy = Policy::parse(&text).expect("a policy");
    let by = |who, table| policy.rule(&token(who), Action::Read, &stream("eu-west-1", table));
    assert_eq!(
        (by("b", "orders"), by("a", "orders"), by("aa", "orders")),
        (Some(1), Some(2), Some(2))
    );
    assert_eq!((by("c", "orders"), by("a", "ord"), by("a", "users")), (Some(4), Some(4), Some(5)));
    assert_eq!((by("c", "users"), by("aa", "users")), (None, None));
    let (orders, a) = (stream("eu-west-1", "orders"), token("a"));
    assert_eq!(policy.rule(&a, Action::Inspect, &orders), None);
}

#[test]
fn an_empty_policy_denies() {
    let (orders, local) = (stream("eu-west-1", "orders"), Principal::unproved(false));
    for action in Action::ALL {
        assert!(!Policy::parse("").expect("empty").allows(&local, action, &orders));
    }
}

#[test]
fn a_name_is_judged_before_it_is_resolved() {
    let policy = Policy::parse(POLICY).expect("a policy");
    let may = |name| policy.may_allow(&token("ci"), Action::Read, &table(name));
    assert!(may("orders-eu") && may("users"), "some stream of it may be read");
    assert!(!may("payments") && !may("orders"));
    assert!(!policy.may_allow(&token("x"), Action::Read, &table("orders-eu")));
}

#[test]
fn what_is_allowed_of_a_stream_may_be_allowed_of_its_name() {
    let policy = Policy::parse(POLICY).expect("a policy");
    for arn in [
        "arn:aws:dynamodb:eu-west-1:123456789012:table/users/stream/2026-01-01",
        "arn:aws:dynamodb:us-east-1:1:table/orders-x/stream/2026-01-01",
        "arn:aws:dynamodb:us-east-1:000000000000:table/alternator_a@orders-b_scylla_cdc_log/stream/x",
    ] {
        let stream = StreamArn::parse(arn).expect("an ARN");
        let table = stream.table().expect("a table");
        assert!(policy.allows(&token("ci"), Action::Read, &stream), "{arn}");
        assert!(policy.may_allow(&token("ci"), Action::Read, &table), "{arn}");
    }
}

#[test]
fn what_is_no_policy_is_refused_with_its_rule() {
    let rule = |principals: &str, actions: &str, streams: &str| {
        let text = format!(
            "[[rule]]\nprincipals = {principals}\nactions = {actions}\nstreams = {streams}\n"
        );
        Policy::parse(&text).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(rule(r#"["*"]"#, r#"["read"]"#, r#"["*"]"#), Ok(()));
    for (principals, actions, streams, told) in [
        ("[]", r#"["read"]"#, r#"["*"]"#, "rule 1: principals is empty"),
        (r#"["*"]"#, "[]", r#"["*"]"#, "rule 1: actions is empty"),
        (r#"["*"]"#, r#"["read"]"#, "[]", "rule 1: streams is empty"),
        (r#"["*"]"#, r#"["write"]"#, r#"["*"]"#, "\"write\" is no action"),
        (r#"["ci"]"#, r#"["read"]"#, r#"["*"]"#, "\"ci\" is no caller"),
        (r#"["token:a b"]"#, r#"["read"]"#, r#"["*"]"#, "is no caller"),
        (r#"["*"]"#, r#"["read"]"#, r#"["orders"]"#, "\"orders\" is no stream"),
        (r#"["*"]"#, r#"["read"]"#, r#"["table/a b"]"#, "is no stream"),
        (r#"["*"]"#, r#"["read"]"#, r#"["arn:aws:s3:::bucket"]"#, "is no stream"),
    ] {
        let error = rule(principals, actions, streams).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
    let unknown = Policy::parse("[[rule]]\nprincipal = [\"*\"]\n").expect_err("an unknown key");
    assert!(unknown.to_string().starts_with("line 2: "), "{unknown}");
    assert!(matches!(Policy::parse(&" ".repeat(MOST_BYTES + 1)), Err(PolicyError::Bytes)));
    let many = "[[rule]]\nprincipals=[\"*\"]\nactions=[\"list\"]\nstreams=[\"*\"]\n"
        .repeat(MOST_RULES + 1);
    assert!(matches!(Policy::parse(&many), Err(PolicyError::Rules)));
}

/// A rule for `token:ci`.
fn of_ci(stream: &str) -> String {
    format!(
        "[[rule]]\nprincipals = [\"token:ci\"]\nactions = [\"read\"]\nstreams = [\"{stream}\"]\n"
    )
}

#[test]
fn a_decision_compares_few_of_thousands_of_rules() {
    let arn = "arn:aws:dynamodb:*:*:table";
    let ways: [fn(usize) -> String; 5] = [
        |n| format!("table/orders-{n}"),
        |n| format!("table/orders-{n}-*"),
        |n| format!("arn:aws:dynamodb:*:*:table/orders-{n}/stream/*"),
        |n| format!("arn:aws:dynamodb:*:*:table/orders-{n}-*/stream/*"),
        |n| format!("arn:aws:dynamodb:eu-west-1:123456789012:table/orders-{n}/stream/2026-01-01"),
    ];
    for of in ways {
        let text: String = (0..5_000).map(|number| of_ci(&of(number))).collect();
        let policy = Policy::parse(&text).expect("a policy");
        for name in ["orders-77", "orders-77-x", "payments"] {
            let stream = stream("eu-west-1", name);
            let compared: usize =
                policy.granted(&token("ci"), Action::Read).map(|of| of.compared(&stream)).sum();
            assert!(compared <= 8, "{compared} of {} for {name}", of(77));
            let may = name.starts_with(&of(77)[of(77).find("orders").unwrap_or(0)..][..9]);
            let allowed = policy.allows(&token("ci"), Action::Read, &stream);
            assert!(!allowed || may, "{} for {name}", of(77));
        }
        let text = text.replace("token:ci", "mtls:spiffe://td/a");
        assert!(!Policy::parse(&text).expect("ok").grants(&token("ci"), Action::Read));
    }
    let callers: String = (0..5_000)
        .map(|n| of_ci("*").replace("token:ci", &format!("mtls:spiffe://td/{n}/*")))
        .collect();
    let policy = Policy::parse(&callers).expect("a policy");
    assert!(policy.grants.of("mtls:spiffe://td/77/x").count() <= 3);
    assert!(Policy::parse(&of_ci(&format!("{arn}/orders/index/*"))).is_err(), "is never a stream");
}

#[test]
fn rules_that_name_too_many_pairs_are_refused() {
    let list = |of: &str| (0..500).map(|n| format!("\"{of}{n}\"")).collect::<Vec<_>>().join(",");
    let rule = format!(
        "[[rule]]\nprincipals = [{}]\nactions = [\"read\"]\nstreams = [{}]\n",
        list("token:"),
        list("table/orders-")
    );
    assert!(matches!(Policy::parse(&rule), Err(PolicyError::Pairs)));
}

/// What a rule's stream says, one by one and without an index.
fn says(pattern: &str, stream: &StreamArn) -> bool {
    let name = stream.table();
    match pattern.strip_prefix("table/") {
        Some(table) => name.is_some_and(|name| Pattern::new(table).matches(name.as_str())),
        None => Pattern::new(pattern).matches(stream.as_str()),
    }
}

proptest! {
    #[test]
    fn rules_say_together_what_each_says_alone(
        patterns in proptest::collection::vec(
            prop_oneof![
                "table/[ab]{0,3}[*]?[ab]{0,3}",
                "arn:aws:dynamodb:[*]:[1*]:table/[ab]{3}/stream/[L*]",
                "arn:aws:dynamodb:[*]:1:table/[ab]{0,3}[*][ab]{0,2}/stream/[*]",
                "arn:aws:dynamodb:e:1:table/k{3}@[ab*]{3}/stream/[*]",
                "arn:aws:dynamodb:[*]table/[ab*]{3}/stream/[*]",
                "arn:aws:dynamodb:e:1:table/[ab]{1,3}[*]",
            ],
            0..6,
        ),
        name in "(kkk@)?[ab]{3,5}(_scylla_cdc_log)?",
    ) {
        let patterns: Vec<_> =
            patterns.into_iter().filter(|of| Policy::parse(&of_ci(of)).is_ok()).collect();
        let text: String = patterns.iter().map(|pattern| of_ci(pattern)).collect();
        let policy = Policy::parse(&text).expect("each is well");
        let stream = StreamArn::parse(&format!("arn:aws:dynamodb:e:1:table/{name}/stream/L"));
        let stream = stream.expect("an ARN");
        let allowed = policy.allows(&token("ci"), Action::Read, &stream);
        prop_assert_eq!(allowed, patterns.iter().any(|pattern| says(pattern, &stream)));
        if let Some(table) = stream.table().filter(|_| allowed) {
            prop_assert!(policy.may_allow(&token("ci"), Action::Read, &table));
        }
    }
}

#[test]
fn a_caller_has_the_widest_quota_that_its_rules_name() {
    let rule = |who: &str, quota: &str| {
        format!(
            "[[rule]]\nprincipals = [\"{who}\"]\nactions = [\"read\"]\nstreams = [\"*\"]\n\
             quota = \"{quota}\"\n"
        )
    };
    let quotas = "[quota.few]\nstreams = 2\ncalls-per-second = 5\n[quota.many]\nsessions = 9000\n";
    let text =
        rule("token:a", "few") + &rule("token:b", "few") + &rule("token:b*", "many") + quotas;
    let policy = Policy::parse(&text).expect("a policy");
    let few = Quota { streams: 2, calls_per_second: 5.0, burst: 10.0, ..Quota::default() };
    assert_eq!(policy.quota(&token("a")), few);
    assert_eq!(policy.quota(&token("b")), Quota { sessions: 9_000, ..Quota::default() });
    assert_eq!(policy.quota(&token("c")), Quota::default());
    let refused = |text: &str| Policy::parse(text).map(|_| ()).expect_err("no policy").to_string();
    assert_eq!(refused(&rule("token:a", "none")), "rule 1: there is no [quota.none]");
    for bad in ["calls-per-second = 0", "burst = 0.5", "calls-per-second = -1", "burst = inf"] {
        assert!(refused(&format!("[quota.x]\n{bad}\n")).starts_with("quota.x: "), "{bad}");
    }
    for bad in ["strems = 1", "streams = -1", "streams = 1.5", "streams = 1\nstreams = 2"] {
        assert!(refused(&format!("[quota.x]\n{bad}\n")).starts_with("line "), "{bad}");
    }
    assert!(refused("[quota.x]\n[quota.x]\n").starts_with("line "));
}
