package shardstream

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "shardstream/v1"
)

// Kind says what a program may want to do about an [Error]: errors.Is(err, shardstream.ErrNotFound).
type Kind string

// Error makes kinds targets of [errors.Is].
func (k Kind) Error() string { return "shardstream: " + string(k) }

const (
	// ErrUnknown is any other failure; see the error's Code.
	ErrUnknown Kind = "Unknown"
	// ErrInvalidRequest: the request is wrong and stays wrong.
	ErrInvalidRequest Kind = "InvalidRequest"
	// ErrInvalidToken: the token is damaged, or of another stream, shard or newer server. It is an ErrInvalidRequest.
	ErrInvalidToken Kind = "InvalidToken"
	// ErrNotFound: there is no such stream or shard.
	ErrNotFound Kind = "NotFound"
	// ErrLeaseNotFound: the session is gone; open the shard again from the newest token. It is an ErrNotFound.
	ErrLeaseNotFound Kind = "LeaseNotFound"
	// ErrRecordsTrimmed: records are gone. Starting from the error's Token accepts the loss.
	ErrRecordsTrimmed Kind = "RecordsTrimmed"
	// ErrRecordUnreadable: a record cannot be read. Starting from the error's Token passes it.
	ErrRecordUnreadable Kind = "RecordUnreadable"
	// ErrNotPositioned: the session has no position yet; Jump or Seek first.
	ErrNotPositioned Kind = "NotPositioned"
	// ErrAccessDenied: AWS does not let the server read this, or the server does not let this client.
	ErrAccessDenied Kind = "AccessDenied"
	// ErrUnauthenticated: the credentials were refused, and so were those that were fetched anew.
	ErrUnauthenticated Kind = "Unauthenticated"
	// ErrSuperseded: a newer call on the session took this one's place, or it was closed. Do not repeat the call.
	ErrSuperseded Kind = "Superseded"
	// ErrLimitReached: a limit of the server is reached; Metadata["limit"] names it.
	ErrLimitReached Kind = "LimitReached"
	// ErrUnavailable: the server, or DynamoDB behind it, could not be reached while the client's patience lasted.
	ErrUnavailable Kind = "Unavailable"
	// ErrDeadlineExceeded: the call took longer than its timeout.
	ErrDeadlineExceeded Kind = "DeadlineExceeded"
)

var kindsByReason = map[string]Kind{
	"LEASE_NOT_FOUND": ErrLeaseNotFound, "NOT_POSITIONED": ErrNotPositioned,
	"TOKEN_MALFORMED": ErrInvalidToken, "TOKEN_WRONG_KIND": ErrInvalidToken,
	"TOKEN_MISMATCH": ErrInvalidToken, "TOKEN_VERSION": ErrInvalidToken,
}

var kindsByCode = map[codes.Code]Kind{
	codes.InvalidArgument: ErrInvalidRequest, codes.NotFound: ErrNotFound, codes.OutOfRange: ErrRecordsTrimmed,
	codes.DataLoss: ErrRecordUnreadable, codes.FailedPrecondition: ErrAccessDenied,
	codes.PermissionDenied: ErrAccessDenied, codes.Unauthenticated: ErrUnauthenticated,
	codes.Aborted: ErrSuperseded, codes.ResourceExhausted: ErrLimitReached, codes.Unavailable: ErrUnavailable,
	codes.DeadlineExceeded: ErrDeadlineExceeded,
}

// Error is a call that failed.
type Error struct {
	// Kind follows the server's reason; of a reason that this release does not know, the status code.
	Kind Kind
	Code codes.Code
	// Reason is the server's; docs/errors.md explains each. Empty when the server gave none.
	Reason   string
	Metadata map[string]string
	// RetryDelay is how long the server asks to wait.
	RetryDelay time.Duration
	// Token is where to go on. Empty when there is none.
	Token string
	// Losses are the [*Gap]s or [*Unreadable]s that were the cause.
	Losses []Event

	asksToWait bool
	silent     bool
	cause      error
}

// Error has the reason, or the code, and the server's message.
func (e *Error) Error() string {
	name := e.Reason
	if name == "" {
		name = e.Code.String()
	}
	return fmt.Sprintf("shardstream: %s: %s", name, status.Convert(e.cause).Message())
}

// Unwrap is the error of gRPC.
func (e *Error) Unwrap() error { return e.cause }

// Is whether the error is of the kind. A deadline that the server or gRPC noticed is [context.DeadlineExceeded], too.
func (e *Error) Is(target error) bool {
	if target == context.DeadlineExceeded {
		return e.Kind == ErrDeadlineExceeded
	}
	kind, ok := target.(Kind)
	return ok && (kind == e.Kind || kind == ErrInvalidRequest && e.Kind == ErrInvalidToken ||
		kind == ErrNotFound && e.Kind == ErrLeaseNotFound)
}

// The error of a failed call; `end` is the last message of its stream, if that came.
func errorOf(failed error, end *pb.End) *Error {
	said := status.Convert(failed)
	e := &Error{Code: said.Code(), cause: failed}
	for _, detail := range said.Details() {
		// Other details are for people: their text is in the message already.
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Metadata, e.Token = detail.Reason, detail.Metadata, detail.Metadata["token"]
		case *errdetails.RetryInfo:
			e.RetryDelay, e.asksToWait = detail.GetRetryDelay().AsDuration(), detail.RetryDelay != nil
		}
	}
	if end.GetRetryDelay() != nil {
		e.RetryDelay, e.asksToWait = end.RetryDelay.AsDuration(), true
	}
	e.Kind = kindsByReason[e.Reason]
	if e.Kind == "" {
		e.Kind = kindsByCode[e.Code]
	}
	if e.Kind == "" {
		e.Kind = ErrUnknown
	}
	return e
}

// The error of a connection that gave nothing for so long.
func silenceError(patience time.Duration) *Error {
	text := fmt.Sprintf("nothing came for %s, not even a heartbeat", patience)
	e := errorOf(status.Error(codes.Unavailable, text), nil)
	e.silent = true
	return e
}

// Whether the same call may succeed later. Never true of ABORTED: two programs that repeat push each other out.
func (e *Error) mayPass() bool {
	switch e.Code {
	case codes.ResourceExhausted:
		// Without a delay it is not a limit of the server but a message that this client does not take.
		return e.asksToWait
	case codes.Canceled:
		return e.Reason == "" // The connection, or a server that found this client too slow.
	case codes.DeadlineExceeded:
		return e.Reason == "REQUEST_TIMEOUT"
	}
	return e.Code == codes.Unavailable
}
