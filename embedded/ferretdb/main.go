// Command ferretdb speaks MongoDB's wire protocol on a loopback address and keeps its data in PostgreSQL.
// It is FerretDB's embeddable package, without telemetry, state file and debug listener, behind a relay that lets in updates
// of one document one after another.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:27017", "address to listen on")
	postgres := flag.String("postgres", "", "PostgreSQL connection URL")
	flag.Parse()

	// Below errors it logs answers, with what is in them.
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	fail := func(what string, err error) {
		logger.Error(what, "error", err)
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		fail("cannot listen", err)
	}
	behind, err := freeAddress()
	if err != nil {
		fail("cannot listen", err)
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:      ferretdb.ListenerConfig{TCP: behind},
		Logger:        logger,
		Handler:       "postgresql",
		PostgreSQLURL: *postgres,
	})
	if err != nil {
		fail("cannot start", err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		if err := serveInTurn(ctx, listener, behind); err != nil {
			fail("stopped", err)
		}
	}()
	if err := server.Run(ctx); err != nil {
		fail("stopped", err)
	}
}

// freeAddress is one of the loopback that nobody listens on at this moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
