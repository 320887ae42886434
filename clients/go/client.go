// Package shardstream is a client for shardstream, which reads Amazon DynamoDB Streams once and serves the records over gRPC.
//
//	client, err := shardstream.NewClient("localhost:50051")
//	...
//	store := shardstream.NewFileStore("orders.token")
//	for message, err := range client.Subscribe(ctx, "orders", shardstream.WithStore(store)) {
//		if err != nil {
//			log.Fatal(err)
//		}
//		for _, record := range message.Records {
//			fmt.Println(record.ShardID, record.Type(), record.Key())
//		}
//	}
//
// Subscriptions resume by themselves and give nothing twice while the program runs. Delivery is at least once: a program that
// crashed gets again what it was not done with.
package shardstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// Version of this client.
const Version = "0.1.0"

// ErrClosed is what calls of a closed client end with.
var ErrClosed = errors.New("shardstream: the client is closed")

// Timing says how long the client waits. Fields that are zero have the value told there.
type Timing struct {
	// Pauses between attempts double from FirstPause (200 ms) to LongestPause (10 s); half of each is drawn by lot.
	FirstPause, LongestPause time.Duration
	// Patience (10 min): give up when attempts have failed for so long, with no sign in between that the server is well.
	Patience time.Duration
	// Lasting (10 s): after a stream has lived so long the next pause is the first again.
	Lasting time.Duration
	// LeastHeartbeat (1 s) is the shortest heartbeat interval that the server grants.
	LeastHeartbeat time.Duration
}

// Hooks are what metrics and tracing want to know. Each may be nil, and must be quick.
type Hooks struct {
	// Traceparent gives the W3C header to send with a call that is made under this context; empty sends none.
	Traceparent func(ctx context.Context) string
	// Message is about to be given to the program.
	Message func(*Message)
	// Resume tells of a call that failed and is made again after a pause.
	Resume func(failed *Error, pause time.Duration)
}

// Option changes how a client works.
type Option func(*Client)

// WithTLS speaks TLS; nil means the system's certificates. [LoadTLS] makes a configuration of files.
func WithTLS(config *tls.Config) Option {
	return func(c *Client) { c.transport = credentials.NewTLS(config) }
}

// WithToken sends a bearer token with each call; by TLS, or to this machine only.
func WithToken(token string) Option {
	return func(c *Client) { c.bearer.token, c.bearer.wanted = token, true }
}

// WithTokenSource fetches a bearer token and keeps it until the server refuses it; then it is fetched anew.
func WithTokenSource(fetch func(ctx context.Context) (string, error)) Option {
	return func(c *Client) { c.bearer.fetch, c.bearer.wanted = fetch, true }
}

// WithNumbers says what becomes of numbers; [Number] unless given. Sets of numbers stay a [NumberSet].
func WithNumbers(numbers Numbers) Option { return func(c *Client) { c.numbers = numbers } }

// WithTiming changes how long the client waits.
func WithTiming(timing Timing) Option { return func(c *Client) { c.timing = timing } }

// WithHooks tells metrics and tracing what happens.
func WithHooks(hooks Hooks) Option { return func(c *Client) { c.hooks = hooks } }

// WithStreamsPerConnection: a server takes 100 calls on a connection; past so many streams (90) another one is opened.
func WithStreamsPerConnection(most int) Option { return func(c *Client) { c.most = most } }

// WithDialOptions adds options of gRPC, which win over the client's own.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *Client) { c.options = append(c.options, options...) }
}

// LoadTLS makes a TLS configuration of PEM files: of the CA, unless it is the system's; for mTLS the client's certificate and
// key, which are read again for each connection. Any name may be empty.
func LoadTLS(ca, certificate, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("shardstream: %s has no certificate", ca)
		}
	}
	if certificate != "" {
		if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certificate, key)
			return &pair, err
		}
	}
	return config, nil
}

// Client is a server, over as many connections as its streams need. Safe for concurrent use.
type Client struct {
	target    string
	transport credentials.TransportCredentials
	bearer    bearer
	numbers   Numbers
	timing    Timing
	hooks     Hooks
	most      int
	options   []grpc.DialOption

	mu       sync.Mutex
	channels []*channel
	closed   bool
}

// A connection of gRPC, and how many use it. A retired one takes no new calls and is closed by the last, or with the client.
type channel struct {
	conn           *grpc.ClientConn
	users, streams int
	retired        bool
}

var here = regexp.MustCompile(`^(((dns|passthrough):/*)?(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$|unix:)`)

// NewClient is a client of the server at `target`, in gRPC's notation: `host:port`, `dns:///name:port`. It connects when it is
// first used.
func NewClient(target string, options ...Option) (*Client, error) {
	c := &Client{target: target, most: 90}
	for _, option := range options {
		option(c)
	}
	if c.bearer.wanted && c.transport == nil && !here.MatchString(target) {
		return nil, errors.New("shardstream: credentials travel by TLS, or to this machine only: give WithTLS")
	}
	if c.transport == nil {
		c.transport = insecure.NewCredentials()
	}
	for field, usual := range map[*time.Duration]time.Duration{
		&c.timing.FirstPause: 200 * time.Millisecond, &c.timing.LongestPause: 10 * time.Second,
		&c.timing.Patience: 10 * time.Minute, &c.timing.Lasting: 10 * time.Second, &c.timing.LeastHeartbeat: time.Second,
	} {
		if *field == 0 {
			*field = usual
		}
	}
	// What is wrong with the target or the options is told now.
	first, err := c.acquire(false)
	if err != nil {
		return nil, err
	}
	c.release(first, false)
	return c, nil
}

// Close closes the connections, and with them all streams.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var failed error
	for _, channel := range c.channels {
		failed = errors.Join(failed, channel.conn.Close())
	}
	c.channels = nil
	return failed
}

func (c *Client) acquire(isStream bool) (*channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	at := slices.IndexFunc(c.channels, func(ch *channel) bool {
		return !ch.retired && (!isStream || ch.streams < c.most)
	})
	if at < 0 {
		conn, err := grpc.NewClient(c.target, append(c.dialOptions(), c.options...)...)
		if err != nil {
			return nil, err
		}
		at, c.channels = len(c.channels), append(c.channels, &channel{conn: conn})
	}
	found := c.channels[at]
	found.users++
	if isStream {
		found.streams++
	}
	return found, nil
}

func (c *Client) release(ch *channel, isStream bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch.users--
	if isStream {
		ch.streams--
	}
	if ch.retired && ch.users == 0 && !c.closed {
		_ = ch.conn.Close() // There is nobody left who could be told.
		c.channels = slices.DeleteFunc(c.channels, func(other *channel) bool { return other == ch })
	}
}

// No new calls on a connection that fell silent, for gRPC may take it for alive.
func (c *Client) retire(ch *channel, failed *Error) {
	if !failed.silent {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch.retired = true
}

func (c *Client) dialOptions() []grpc.DialOption {
	pauses := grpcbackoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(c.transport),
		grpc.WithDisableRetry(), // Calls are repeated by this client alone.
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pauses, MinConnectTimeout: 5 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32 << 20)),
		grpc.WithUserAgent("shardstream-go/" + Version),
	}
}

// The context of a call, with its headers, and the bearer token among them.
func (c *Client) headed(ctx context.Context) (context.Context, string, error) {
	token, err := c.bearer.get(ctx)
	if err != nil {
		return nil, "", err
	}
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	if c.hooks.Traceparent != nil {
		if parent := c.hooks.Traceparent(ctx); parent != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", parent)
		}
	}
	return ctx, token, nil
}

func (c *Client) named(records []Record, shardID string) []Record {
	for i := range records {
		records[i].ShardID, records[i].numbers = shardID, c.numbers
	}
	return records
}

func (c *Client) tell(failed *Error, pause time.Duration) {
	if c.hooks.Resume != nil {
		c.hooks.Resume(failed, pause)
	}
}

// A bearer token that is kept until it is refused.
type bearer struct {
	wanted bool
	fetch  func(context.Context) (string, error)

	mu    sync.Mutex
	token string
}

func (b *bearer) get(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token == "" && b.fetch != nil {
		token, err := b.fetch(ctx)
		if err != nil {
			return "", fmt.Errorf("shardstream: no credentials: %w", err)
		}
		b.token = token
	}
	return b.token, nil
}

// Whether a refused token can be replaced. Of many streams that are refused the first alone drops it.
func (b *bearer) refused(token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fetch != nil && b.token == token {
		b.token = ""
	}
	return b.fetch != nil
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// One call, made again while its time lasts where that may help: a failed call has moved nothing.
func call[S, Q, A any](
	ctx context.Context, c *Client, limit time.Duration, service func(grpc.ClientConnInterface) S,
	method func(S, context.Context, Q, ...grpc.CallOption) (A, error), request Q,
) (A, error) {
	var none A
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pauses, renewed := newBackoff(c.timing, limit), false
	for {
		channel, err := c.acquire(false)
		if err != nil {
			return none, err
		}
		headed, bearer, err := c.headed(limited)
		if err != nil {
			c.release(channel, false)
			return none, err
		}
		answer, err := method(service(channel.conn), headed, request)
		if err == nil {
			c.release(channel, false)
			return answer, nil
		}
		failed := errorOf(err, nil)
		failed.silent = limited.Err() == context.DeadlineExceeded
		c.retire(channel, failed)
		c.release(channel, false)
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		if failed.Code == codes.Unauthenticated && !renewed && c.bearer.refused(bearer) {
			renewed = true
			continue
		}
		pause, ok := pauses.pause(failed)
		if !ok {
			return none, failed
		}
		c.tell(failed, pause)
		if wait(limited, pause) != nil {
			return none, failed
		}
	}
}
