package vfs_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"gantry/internal/vfs"
)

func TestFaultSyncDropsPages(t *testing.T) {
	m := vfs.NewMem()
	fault := vfs.NewFault(m)
	f := mustCreate(t, fault, "/a", "one")
	must(t, f.Sync())
	must(t, fault.SyncDir("/"))
	_, err := f.WriteAt([]byte("second"), 0)
	must(t, err)
	fault.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Kind == vfs.OpSync {
			return vfs.Fate{Err: vfs.ErrInjected, Drop: true}
		}
		return vfs.Fate{}
	})
	wantError(t, "sync", f.Sync(), vfs.ErrInjected)
	fault.SetRule(nil)
	must(t, f.Sync()) // reports success, as Linux does
	if got := content(t, f); got != "one" {
		t.Errorf("got %q", got)
	}
	if got := readAll(t, m.CrashClone(newRand(1), 1), "/a"); got != "one" {
		t.Errorf("after a crash: %q", got)
	}
}

func TestFaultShortWrite(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	f := mustCreate(t, fault, "/a", "")
	fault.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Kind == vfs.OpWrite {
			return vfs.Fate{Err: vfs.ErrInjectedNoSpace, Short: 4}
		}
		return vfs.Fate{}
	})
	n, err := f.WriteV([][]byte{[]byte("abc"), []byte("def")}, 0)
	if n != 4 || !errors.Is(err, vfs.ErrInjected) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %d %v", n, err)
	}
	if !vfs.IsNoSpace(err) || vfs.IsNoSpace(vfs.ErrInjected) || !vfs.IsNoSpace(syscall.EDQUOT) {
		t.Error("IsNoSpace is wrong")
	}
	if got := content(t, f); got != "abcd" {
		t.Errorf("got %q", got)
	}
}

func TestFaultDoneYetFailed(t *testing.T) {
	m := vfs.NewMem()
	fault := vfs.NewFault(m)
	fault.SetRule(func(op vfs.Op) vfs.Fate { return vfs.Fate{Err: vfs.ErrInjected, Done: true} })
	_, err := fault.Create("/a")
	wantError(t, "create", err, vfs.ErrInjected)
	wantError(t, "rename", fault.Rename("/a", "/b"), vfs.ErrInjected)
	if names, err := m.List("/"); err != nil || len(names) != 1 || names[0] != "b" {
		t.Errorf("got %q %v", names, err)
	}
	_, err = fault.Lock("/L")
	wantError(t, "lock", err, vfs.ErrInjected)
	lock, err := m.Lock("/L")
	must(t, err)
	must(t, lock.Close())
}

func TestFaultFlipBit(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	f := mustCreate(t, fault, "/a", "hello")
	fault.SetRule(vfs.FlipBit("/a", 1, 5))
	if got := content(t, f); got != "hEllo" {
		t.Errorf("got %q", got)
	}
	p := make([]byte, 2)
	if _, err := f.ReadAt(p, 2); err != nil || string(p) != "ll" {
		t.Errorf("elsewhere: %q %v", p, err)
	}
}

func TestFaultRules(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	fault.SetRule(vfs.FailKind(vfs.OpCreate, func(name string) bool { return strings.HasSuffix(name, ".seg") }))
	_, err := fault.Create("/a.seg")
	wantError(t, "filtered", err, vfs.ErrInjected)
	mustCreate(t, fault, "/a.db", "")
	fault.SetRule(vfs.FailFrom(1))
	_, err = fault.List("/")
	must(t, err)
	for range 3 {
		_, err = fault.List("/")
		wantError(t, "gone", err, vfs.ErrInjected)
	}
	if got := fault.Count(); got != 4 {
		t.Errorf("count %d, want 4", got)
	}
}
