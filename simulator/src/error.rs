//! Every way in which a call is refused, with AWS's status, code and message.

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such stream, shard or table.
    NotFound(String),
    /// A malformed request.
    Validation(String),
    /// An iterator older than 15 minutes.
    ExpiredIterator,
    /// The place was trimmed.
    Trimmed,
    /// Too many GetRecords calls on a shard.
    LimitExceeded(String),
    /// Too many calls of another kind.
    Throttling,
    /// Not a JSON object of the right types.
    Serialization(String),
    /// An operation that the service does not have.
    UnknownOperation,
    /// The service's fault.
    Internal,
}

impl Refusal {
    pub(crate) fn stream(arn: &str) -> Self {
        Self::NotFound(format!("Requested resource not found: Stream: {arn} not found"))
    }

    pub(crate) fn shard() -> Self {
        Self::NotFound("Requested resource not found: Shard does not exist".into())
    }

    /// A constraint of the API's model.
    pub(crate) fn constraint(field: &str, value: &str, must: &str) -> Self {
        Self::Validation(format!(
            "1 validation error detected: Value '{value}' at '{field}' failed to satisfy \
             constraint: Member must {must}"
        ))
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        if *self == Self::Internal { 500 } else { 400 }
    }

    /// The code, without its namespace.
    pub fn code(&self) -> &'static str {
        let kind = self.kind();
        kind.split_once('#').map_or(kind, |(_, code)| code)
    }

    /// The code as AWS writes it in `__type`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
            Self::Validation(_) => "com.amazon.coral.validate#ValidationException",
            Self::ExpiredIterator => "com.amazonaws.dynamodb.v20120810#ExpiredIteratorException",
            Self::Trimmed => "com.amazonaws.dynamodb.v20120810#TrimmedDataAccessException",
            Self::LimitExceeded(_) => "com.amazonaws.dynamodb.v20120810#LimitExceededException",
            Self::Throttling => "com.amazon.coral.availability#ThrottlingException",
            Self::Serialization(_) => "com.amazon.coral.service#SerializationException",
            Self::UnknownOperation => "com.amazon.coral.service#UnknownOperationException",
            Self::Internal => "com.amazonaws.dynamodb.v20120810#InternalServerError",
        }
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        match self {
            Self::NotFound(text)
            | Self::Validation(text)
            | Self::LimitExceeded(text)
            | Self::Serialization(text) => text,
            Self::ExpiredIterator => {
                "The shard iterator has expired and can no longer be used to retrieve stream \
                 records. A shard iterator expires 15 minutes after it is retrieved using the \
                 GetShardIterator action."
            }
            Self::Trimmed => {
                "The operation attempted to read past the oldest stream record in a shard."
            }
            Self::Throttling => "Rate exceeded",
            Self::UnknownOperation => "",
            Self::Internal => "Internal server error",
        }
    }
}
