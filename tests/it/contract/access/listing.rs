//! ListStreams tells of those streams that the caller may list, and of no others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

#[tokio::test]
async fn streams_that_may_not_be_listed_are_not_told() {
    let bed = Bed::new().await;
    let told = async |caller: &str| {
        let request = pb::ListStreamsRequest::default().encode_to_vec();
        let method = "shardstream.v1.StreamService/ListStreams";
        let answer = bed.called_by(caller, method, request).await.expect("listed");
        pb::ListStreamsResponse::decode(&*answer).expect("a response").streams.len()
    };
    assert_eq!((told("all").await, told("lists").await, told("elsewhere").await), (1, 1, 0));
}

#[tokio::test]
async fn page_tokens_tell_of_no_stream_that_is_left_out() {
    let bed = Bed::new().await;
    // The rows of others stand before, between and behind those that the caller may list.
    let mine = bed.orders.stream.resource().to_owned();
    for table in ["Aardvarks", "Aardvarks", "Bees", &mine, &mine, "Zebras", "Zebras"] {
        bed.fake.add_stream(table);
    }
    let method = "shardstream.v1.StreamService/ListStreams";
    for page_size in [1, 2, 3, 100] {
        let (mut arns, mut page_token, mut pages) = (vec![], String::new(), 0);
        loop {
            let request = pb::ListStreamsRequest { page_size, page_token, ..Default::default() };
            let answer = bed.called_by("all", method, request.encode_to_vec()).await;
            let page = pb::ListStreamsResponse::decode(&*answer.expect("listed")).expect("a page");
            let told = URL_SAFE_NO_PAD.decode(&page.next_page_token).expect("base64");
            let told = String::from_utf8_lossy(&told).into_owned();
            for other in ["Aardvarks", "Bees", "Zebras"] {
                assert!(!told.contains(other), "{told}");
            }
            pages += 1;
            assert!(!page.streams.is_empty() || pages > 1 && page.next_page_token.is_empty());
            arns.extend(page.streams.into_iter().map(|stream| stream.stream_arn));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let each_once = arns.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(arns.len() == 3 && each_once, "{page_size}: {arns:?}");
    }
}
