//! Who we are to AWS, as STS says it.

use aws_sdk_sts::error::DisplayErrorContext;

use super::connect::{self, AwsOptions};

/// The ARN of our identity; `Err` says why it is not known.
pub async fn caller_identity(options: AwsOptions) -> Result<String, String> {
    let config = connect::find(&options).await.map_err(|error| error.to_string())?;
    let client = aws_sdk_sts::Client::new(&config);
    match client.get_caller_identity().send().await {
        Ok(answer) => answer.arn.ok_or_else(|| "it gives no ARN".to_owned()),
        Err(error) => Err(DisplayErrorContext(&error).to_string()),
    }
}
