package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"net"
	"sync"

	"go.mongodb.org/mongo-driver/bson/bsontype"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"
)

// FerretDB reads the documents of an update, changes them, and writes them back by their _id. Of two updates at once of
// one document the one that read first may write last, whatever its filter says by then: 258 of 300 documents that
// eight guarded updates met at once ended with an older one. MongoDB looks at the filter again. So here the updates
// of a document wait for each other, on their way to FerretDB, which listens behind this.

const (
	opMsg       = 2013
	headerSize  = 16
	largest     = 48 << 20
	moreToCome  = 1 << 1
	checksumSet = 1 << 0
)

// turns lets updates of one document in one after another, and those of many documents, or of unknown ones, alone.
type turns struct {
	all  sync.RWMutex
	each [256]sync.Mutex
	seed maphash.Seed
}

// take waits for the turn of a message, and returns how to give it back.
func (t *turns) take(message []byte) func() {
	updates, id := updated(message)
	switch {
	case !updates:
		return func() {}
	case id == nil:
		t.all.Lock()
		return t.all.Unlock
	}
	one := &t.each[maphash.Bytes(t.seed, id)%uint64(len(t.each))]
	t.all.RLock()
	one.Lock()
	return func() {
		one.Unlock()
		t.all.RUnlock()
	}
}

// serveInTurn relays what comes to listen to FerretDB, until the context is done.
func serveInTurn(ctx context.Context, listener net.Listener, behind string) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	all := &turns{seed: maphash.MakeSeed()}
	for {
		client, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		go relay(client, behind, all)
	}
}

// relay hands on a connection's messages, each with its answer. An end or a failure of either side ends both.
func relay(client net.Conn, behind string, all *turns) {
	defer client.Close()
	server, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer server.Close()
	for {
		message, err := readMessage(client)
		if err != nil {
			return
		}
		if err := answered(client, server, message, all); err != nil {
			return
		}
	}
}

func answered(client, server net.Conn, message []byte, all *turns) error {
	reply, err := asked(server, message, all)
	for err == nil && reply != nil {
		if _, err = client.Write(reply); err != nil || flags(reply)&moreToCome == 0 {
			return err
		}
		reply, err = readMessage(server)
	}
	return err
}

// asked sends a message in its turn. No answer comes to one that wants none.
func asked(server net.Conn, message []byte, all *turns) ([]byte, error) {
	give := all.take(message)
	defer give()
	if _, err := server.Write(message); err != nil {
		return nil, err
	}
	if flags(message)&moreToCome != 0 {
		return nil, nil
	}
	return readMessage(server)
}

func readMessage(from io.Reader) ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return nil, err
	}
	length := int(int32(binary.LittleEndian.Uint32(header[:])))
	if length < headerSize || length > largest {
		return nil, errors.New("not a message of MongoDB's")
	}
	message := make([]byte, length)
	copy(message, header[:])
	_, err := io.ReadFull(from, message[headerSize:])
	return message, err
}

// flags are those of an OP_MSG; other messages have none.
func flags(message []byte) uint32 {
	if len(message) < headerSize+4 || binary.LittleEndian.Uint32(message[12:]) != opMsg {
		return 0
	}
	return binary.LittleEndian.Uint32(message[headerSize:])
}

// updated tells whether a message changes documents that are there, and of one document its _id, with its type.
func updated(message []byte) (bool, []byte) {
	if len(message) < headerSize+5 || binary.LittleEndian.Uint32(message[12:]) != opMsg {
		return false, nil
	}
	rest := message[headerSize+4:]
	if flags(message)&checksumSet != 0 {
		rest = rest[:max(0, len(rest)-4)]
	}
	var command bsoncore.Document
	var listed []bsoncore.Document
	for len(rest) > 0 {
		kind := rest[0]
		if kind == 0 {
			body, left, ok := bsoncore.ReadDocument(rest[1:])
			if !ok {
				return true, nil
			}
			command, rest = body, left
			continue
		}
		section, left, ok := bsoncore.ReadLength(rest[1:])
		if !ok || kind != 1 || section < 4 || int(section) > len(rest)-1 {
			return true, nil
		}
		documents, after := left[:section-4], left[section-4:]
		if end := bytes.IndexByte(documents, 0); end >= 0 {
			documents = documents[end+1:]
		}
		for len(documents) > 0 {
			document, more, ok := bsoncore.ReadDocument(documents)
			if !ok {
				return true, nil
			}
			listed, documents = append(listed, document), more
		}
		rest = after
	}
	return changes(command, listed)
}

func changes(command bsoncore.Document, listed []bsoncore.Document) (bool, []byte) {
	first, err := command.IndexErr(0)
	if err != nil {
		return false, nil
	}
	var filter bsoncore.Value
	switch first.Key() {
	case "update", "delete":
		if array, ok := command.Lookup("updates").ArrayOK(); ok {
			values, _ := array.Values()
			for _, value := range values {
				document, _ := value.DocumentOK()
				listed = append(listed, document)
			}
		}
		if len(listed) != 1 {
			return true, nil
		}
		filter = listed[0].Lookup("q")
	case "findAndModify", "findandmodify":
		filter = command.Lookup("query")
	default:
		return false, nil
	}
	document, ok := filter.DocumentOK()
	if !ok {
		return true, nil
	}
	id, err := document.LookupErr("_id")
	// A condition on _id may mean many.
	if err != nil || id.Type == bsontype.EmbeddedDocument {
		return true, nil
	}
	collection, _ := first.Value().StringValueOK()
	return true, append([]byte(collection+"\x00"), append([]byte{byte(id.Type)}, id.Data...)...)
}
