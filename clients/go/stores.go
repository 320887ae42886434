package shardstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// TokenStore keeps how far a subscription has come: one text, the stream's newest token, then newer tokens of its shards,
// separated by blanks. Clients in all languages write the same, so a program in one goes on where one in another stopped.
type TokenStore interface {
	// Load gives the position that was kept last; empty when there is none.
	Load(ctx context.Context) (string, error)
	// Save keeps the position. It is called when your code is done with what it covers, never before.
	Save(ctx context.Context, position string) error
}

// MemoryStore keeps the position as long as the program runs. The zero value is empty.
type MemoryStore struct {
	mu       sync.Mutex
	position string
}

// Load gives the position.
func (s *MemoryStore) Load(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position, nil
}

// Save keeps the position.
func (s *MemoryStore) Save(_ context.Context, position string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = position
	return nil
}

// FileStore keeps the position in a file, which is replaced whole: killing the program never leaves half a token.
type FileStore struct {
	Path string
	// Sync also survives a loss of power, at the price of a disk write for each batch.
	Sync bool
}

// NewFileStore is a store in this file.
func NewFileStore(path string) *FileStore { return &FileStore{Path: path} }

// Load gives the position in the file; empty when there is no file.
func (s *FileStore) Load(context.Context) (string, error) {
	text, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// Save replaces the file.
func (s *FileStore) Save(_ context.Context, position string) error {
	draft := fmt.Sprintf("%s.%d.new", s.Path, os.Getpid())
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(position)
	if s.Sync {
		err = errors.Join(err, file.Sync())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, s.Path); err != nil || !s.Sync {
		return err
	}
	// The new name is safe when its folder is.
	folder, err := os.Open(filepath.Dir(s.Path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
