package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"gantry/store/catalog"
)

func newRebuild() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "rebuild-catalog",
		Short: "Make the catalog anew from the log",
		Long: `Delete the catalog and make it again from the log. All answers stay the same. gantry must not be running on the data
directory. Damaged stretches of the log are left out and reported, one line each, fields separated by tabs:

  damage   segment, first LSN, LSN after it, what is wrong

Exit codes: 0 done; 1 error; 2 wrong flag or setting; 3 done, but the log is damaged; 4 the data directory is in use.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			if err := requireData(&c); err != nil {
				return err
			}
			if err := removeCatalog(&c); err != nil {
				return err
			}
			show := storeProgress(cmd.ErrOrStderr(), "rebuild")
			st, err := openStore(cmd.Context(), &c, slog.New(slog.DiscardHandler), nil, show.update)
			show.end()
			if err != nil {
				return err
			}
			damage := st.Damage()
			if err := st.Close(); err != nil {
				return err
			}
			printDamage(cmd.OutOrStdout(), damage)
			if len(damage) > 0 {
				return errFindings
			}
			fmt.Fprintln(cmd.OutOrStdout(), "catalog rebuilt")
			return nil
		},
	}
	s.addFlags(cmd)
	return cmd
}

// removeCatalog deletes the catalog's file, under the lock of the data directory.
func removeCatalog(c *Config) error {
	lock, err := lockData(c)
	if err != nil {
		return err
	}
	if err := catalog.Remove(filepath.Join(c.Data, "catalog.db")); err != nil {
		return errors.Join(fmt.Errorf("remove catalog: %w", err), lock.Close())
	}
	return lock.Close()
}
