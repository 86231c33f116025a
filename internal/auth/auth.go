// Package auth knows who may do what: credentials, their permissions, and the
// two simple ways to present them over HTTP, Basic (RFC 7617) and bearer
// tokens (RFC 6750). S3 signatures are checked elsewhere, with secrets from here.
package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Permission is a set of things that a credential may do.
type Permission uint8

const (
	Read   Permission = 1 << iota // get, list, query
	Write                         // put, store, copy
	Delete                        // delete objects and studies
	Admin                         // create, configure and delete buckets; operate the server

	None Permission = 0
	All             = Read | Write | Delete | Admin
)

var permissionNames = []struct {
	p    Permission
	name string
}{{Read, "read"}, {Write, "write"}, {Delete, "delete"}, {Admin, "admin"}, {All, "all"}}

// ParsePermissions reads names as they stand in the configuration: read,
// write, delete, admin, all.
func ParsePermissions(names ...string) (Permission, error) {
	var set Permission
names:
	for _, name := range names {
		for _, pn := range permissionNames {
			if pn.name == name {
				set |= pn.p
				continue names
			}
		}
		return None, fmt.Errorf("auth: unknown permission %q", name)
	}
	return set, nil
}

// Has reports whether all of want is in p.
func (p Permission) Has(want Permission) bool { return p&want == want }

func (p Permission) String() string {
	var names []string
	for _, pn := range permissionNames[:4] {
		if p.Has(pn.p) {
			names = append(names, pn.name)
		}
	}
	return strings.Join(names, ",")
}

// Credential is a key: who presents ID and Secret may do Permissions in Buckets.
type Credential struct {
	ID, Secret  string
	Permissions Permission
	// Buckets are names, or prefixes with a final "*"; none means all buckets.
	Buckets []string
}

// String leaves out the secret.
func (c Credential) String() string { return "key " + c.ID }

// GoString leaves out the secret, too.
func (c Credential) GoString() string { return c.String() }

// LogValue keeps the secret out of logs.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.ID) }

// Token is the credential as a bearer token: id and secret joined by a dot.
func (c Credential) Token() string { return c.ID + "." + c.Secret }

// validate keeps out what could not be presented.
func (c Credential) validate() error {
	switch {
	case c.ID == "" || c.Secret == "":
		return errors.New("auth: credential without id or secret")
	case strings.ContainsAny(c.ID, ":./, \t\r\n"):
		return fmt.Errorf("auth: key id %q has a character that separates fields", c.ID)
	case slices.Contains(c.Buckets, ""):
		return fmt.Errorf("auth: key %s lists a bucket without a name", c.ID)
	}
	return nil
}

// Allows reports whether cred may do all of perm in bucket. An empty bucket
// stands for requests that concern none in particular, such as listing buckets.
func Allows(cred Credential, perm Permission, bucket string) bool {
	if perm == None || !cred.Permissions.Has(perm) {
		return false
	}
	if bucket == "" || len(cred.Buckets) == 0 {
		return true
	}
	for _, b := range cred.Buckets {
		if prefix, ok := strings.CutSuffix(b, "*"); ok && strings.HasPrefix(bucket, prefix) || b == bucket {
			return true
		}
	}
	return false
}
