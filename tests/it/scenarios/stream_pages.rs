//! ListStreams in pages.

use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::pb;
use tonic::Request;

use crate::support::client::Client;

#[tokio::test(start_paused = true)]
async fn pages_have_the_size_that_was_asked_for_and_resume_whatever_the_upstream_makes_of_it() {
    for all_streams in [false, true] {
        let client = Client::new();
        for table in ["Customers", "Payments", "Payments", "Refunds"] {
            client.fake.add_stream(table);
        }
        client.fake.listing(|listing| listing.all_streams = all_streams);
        let api = StreamApi::new(client.server.context.clone());
        for (table_name, expected) in [("", [2, 2, 1].as_slice()), ("Payments", &[2])] {
            let (mut sizes, mut arns, mut page_token) = (vec![], vec![], String::new());
            loop {
                let request = pb::ListStreamsRequest {
                    table_name: table_name.into(),
                    page_size: 2,
                    page_token,
                };
                let page =
                    api.list_streams(Request::new(request)).await.expect("listed").into_inner();
                sizes.push(page.streams.len());
                arns.extend(page.streams.into_iter().map(|stream| stream.stream_arn));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(sizes, expected, "{table_name} {all_streams}");
            let each_once = arns.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(each_once, "{arns:?}");
        }
    }
}
