package trust

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/quorate/quorate/sequencer/wire"
)

// User is one line of a file of users: who may connect with AUTH, and with which role.
//
// Passwords are made by NewPassword and never chosen: 32 random bytes cannot be guessed, so a plain SHA-256 is enough to
// keep them from whoever reads the file, and to check one costs a microsecond. What people choose would need a hash that
// takes a tenth of a second of CPU, and everybody who can connect could have it spent.
type User struct {
	Name     string `yaml:"name" json:"name"`
	Role     Role   `yaml:"role" json:"role"`
	Password string `yaml:"password" json:"-"` // "sha256:" and the hash in base64
}

// Users are those of a file. They do not change.
type Users struct {
	List []User `yaml:"users"`
}

const (
	maxUsers      = 10_000
	maxUsersBytes = 4 << 20
	passwordBytes = 32
	hashPrefix    = "sha256:"
)

// DefaultUser is who AUTH means without a name: the holder of the one password of a cluster. No file may have one.
const DefaultUser = "default"

// NewPassword makes a password, as text of 43 characters.
func NewPassword() string {
	var b [passwordBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// HashPassword gives what a file of users keeps of a password.
func HashPassword(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hashPrefix + base64.RawStdEncoding.EncodeToString(sum[:])
}

// ReadUsers reads a file of users.
func ReadUsers(name string) (*Users, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be read by everybody (mode %04o): chmod 600 it", name, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxUsersBytes+1))
	if err != nil {
		return nil, err
	}
	users, err := ParseUsers(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return users, nil
}

// ParseUsers reads the text of a file of users. An unknown key, a second user of a name and a hash of another kind are
// errors.
func ParseUsers(text []byte) (*Users, error) {
	if len(text) > maxUsersBytes {
		return nil, fmt.Errorf("more than %d bytes", maxUsersBytes)
	}
	users := &Users{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(users); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(users.List) > maxUsers {
		return nil, fmt.Errorf("%d users are more than %d", len(users.List), maxUsers)
	}
	seen := map[string]bool{DefaultUser: true}
	for _, u := range users.List {
		if err := u.check(); err != nil {
			return nil, err
		}
		if seen[u.Name] {
			return nil, fmt.Errorf("user %s is there already", u.Name)
		}
		seen[u.Name] = true
	}
	return users, nil
}

func (u User) check() error {
	if err := wire.CheckID("the name of a user", u.Name); err != nil {
		return err
	}
	if !u.Role.Valid() || u.Role == Node {
		return fmt.Errorf("user %s: there is no role %q for users: operator, edge or reader", u.Name, u.Role)
	}
	if _, err := u.hash(); err != nil {
		return fmt.Errorf("user %s: the password must be %s and a hash: quorate user makes one", u.Name, hashPrefix)
	}
	return nil
}

func (u User) hash() ([]byte, error) {
	text, ok := strings.CutPrefix(u.Password, hashPrefix)
	hash, err := base64.RawStdEncoding.DecodeString(text)
	if !ok || err != nil || len(hash) != sha256.Size {
		return nil, errors.New("not a hash")
	}
	return hash, nil
}

// Find gives a user, nil where there is none of that name.
func (s *Users) Find(name string) *User {
	if i := slices.IndexFunc(s.List, func(u User) bool { return u.Name == name }); i >= 0 {
		return &s.List[i]
	}
	return nil
}

// Check gives the user whose name and password these are, nil for a wrong one. How long it takes tells nothing of why.
func (s *Users) Check(name string, password []byte) *User {
	given := sha256.Sum256(password)
	u, want := s.Find(name), make([]byte, sha256.Size)
	known := u != nil
	if known {
		want, _ = u.hash() // was checked
	}
	if subtle.ConstantTimeCompare(given[:], want) == 1 && known {
		return u
	}
	return nil
}

// Write replaces a file of users as a whole.
func (s *Users) Write(name string) error {
	text, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := ParseUsers(text); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".users-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// ReadUsersIfAny is ReadUsers for who is to write them: without a file there are no users yet.
func ReadUsersIfAny(name string) (*Users, error) {
	users, err := ReadUsers(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Users{}, nil
	}
	return users, err
}
