use super::*;

#[tokio::test]
async fn refusals_have_their_exit_codes_and_a_next_step() {
    let cases = [
        (Code::NotFound, "STREAM_NOT_FOUND", Exit::NotFound, "`shardstream streams`"),
        (Code::NotFound, "SHARD_NOT_FOUND", Exit::NotFound, "`shardstream tree STREAM`"),
        (
            Code::FailedPrecondition,
            "UPSTREAM_ACCESS_DENIED",
            Exit::Denied,
            "dynamodb:DescribeStream",
        ),
        (Code::InvalidArgument, "TOKEN_MALFORMED", Exit::Usage, "copy it whole"),
        (Code::Unavailable, "STREAM_NOT_READY", Exit::Unavailable, "try again in a moment"),
        (Code::OutOfRange, "RECORDS_TRIMMED", Exit::Failure, "--from trim-horizon"),
        (Code::Unauthenticated, "CREDENTIALS_MISSING", Exit::Denied, "--token-file FILE"),
        (Code::Unauthenticated, "CREDENTIALS_EXPIRED", Exit::Denied, "for another"),
        (Code::PermissionDenied, "NOT_ALLOWED", Exit::Denied, "`shardstream streams`"),
    ];
    for (code, reason, exit, next) in cases {
        let server = pushing([Err(status(code, reason))]);
        let ran = run(&server, &["tail", "orders", SHARD]).await;
        assert_eq!((ran.exit, ran.data.as_str()), (exit, ""), "{reason}");
        assert!(ran.talk.contains(reason) && ran.talk.contains(next), "{}", ran.talk);
        assert_eq!(places(&server).len(), 1, "a first refusal is told, not repeated");
    }
}

#[tokio::test]
async fn without_a_server_it_says_how_to_start_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let (exit, talk) = streams_of(&url).await;
    assert_eq!(exit, Exit::Unavailable);
    assert!(talk.contains("no server answers at") && talk.contains("`shardstream dev`"), "{talk}");
}

#[tokio::test]
async fn a_server_that_hangs_up_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let hanging_up = async {
        loop {
            drop(listener.accept().await);
        }
    };
    let (exit, talk) = tokio::select! {
        told = streams_of(&url) => told,
        () = hanging_up => unreachable!("it never ends"),
    };
    assert_eq!(exit, Exit::Unavailable, "{talk}");
    assert!(talk.contains("next: "), "{talk}");
}

async fn streams_of(url: &str) -> (Exit, String) {
    let talk = Shared::default();
    let mut out = Output::to(io::sink(), talk.clone(), Format::Table, None);
    let exit = cli::run_on(&command(&["streams"], url), &mut out, &CancellationToken::new()).await;
    (exit, talk.text())
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = pushing([Ok(vec![records(&[1], "t1"), Push::Hang])]);
    let talk = Shared::default();
    let exit =
        run_to(&server, &["tail", "orders", SHARD], Gone, talk.clone(), &CancellationToken::new())
            .await;
    assert_eq!((exit, talk.text().lines().count()), (Exit::Ok, 1), "{}", talk.text());
}

#[tokio::test]
async fn items_and_servers_cannot_touch_the_terminal() {
    const EVIL: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let mut change = record(1);
    change.new_image.insert(
        EVIL.into(),
        AttributeValue { value: Some(attribute_value::Value::S(EVIL.into())) },
    );
    let pushed = || {
        let message = StreamRecordsResponse {
            records: vec![change.clone()],
            shard_id: SHARD.into(),
            ..Default::default()
        };
        Ok(vec![Push::Message(Box::new(message)), Push::Fail(Status::internal(EVIL))])
    };
    for format in ["table", "json"] {
        let server = pushing([pushed()]);
        let (data, talk) = (Shared::default(), Shared::default());
        let args = ["tail", "orders", SHARD, "--output", format];
        let exit =
            run_to(&server, &args, data.clone(), talk.clone(), &CancellationToken::new()).await;
        assert_eq!(exit, Exit::Failure);
        for printed in [data, talk] {
            // Colours are ours; nothing else that a terminal acts on may be there.
            let printed = String::from_utf8(printed.0.lock().clone()).expect("text");
            let unsafe_sequences = ["\u{1b}]", "\u{1b}[2J", "\u{7}", "\u{9b}", "\u{202e}"];
            assert!(!unsafe_sequences.iter().any(|evil| printed.contains(evil)), "{printed:?}");
        }
    }
}
