// What a user of gRPC's library for Go sees: calls the server once for each line of stdin, and prints the status.
//
// A line is a JSON object with `server`, `ca`, and where there are, `certificate`, `key` and `token`.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "shardstream/v1"
)

type asked struct{ Server, CA, Certificate, Key, Token string }

func (a asked) call() error {
	pem, err := os.ReadFile(a.CA)
	if err != nil {
		return err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	if a.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(a.Certificate, a.Key)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	client, err := grpc.NewClient(a.Server, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if a.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+a.Token)
	}
	_, err = pb.NewServerServiceClient(client).GetServerInfo(ctx, &pb.GetServerInfoRequest{})
	return err
}

func main() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var a asked
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			panic(err)
		}
		said := status.Convert(a.call())
		line, _ := json.Marshal(map[string]string{"code": said.Code().String(), "text": said.Message()})
		fmt.Println(string(line))
	}
}
