package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	show := &cobra.Command{
		Use: "show", Short: "Print the configuration in effect: default, file, environment", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.showConfig(cmd.OutOrStdout()) },
	}
	check := &cobra.Command{
		Use: "check [FILE]", Short: "Check the configuration, or the one in FILE", Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.checkConfig(cmd, args) },
	}
	initialize := &cobra.Command{
		Use: "init FILE", Short: "Write a configuration file with every key at its default", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error { return initConfig(args[0]) },
	}
	doc := &cobra.Command{
		Use: "doc", Short: "Tell every key, its environment variable, default and meaning", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.docConfig(cmd.OutOrStdout()) },
	}
	return parent("config", "Show and check the configuration", show, check, initialize, doc)
}

// tree is the configuration as nested maps, as a file holds it.
func tree(settings []setting) map[string]map[string]any {
	sections := map[string]map[string]any{}
	for _, s := range settings {
		section, name := splitKey(s.key)
		if sections[section] == nil {
			sections[section] = map[string]any{}
		}
		sections[section][name] = s.plain()
	}
	return sections
}

// plain is the present value as a file would hold it.
func (s setting) plain() any {
	if d, ok := s.field.Interface().(time.Duration); ok {
		return d.String()
	}
	return s.field.Interface()
}

func (a *app) showConfig(w io.Writer) error {
	sections := tree(a.settings)
	if token := sections["chat"]["token"]; token != "" {
		sections["chat"]["token"] = "(set)" // a token is a key: it does not belong in a terminal's scroll-back
	}
	if a.output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(sections)
	}
	text, err := yamlOf(sections)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func yamlOf(sections map[string]map[string]any) ([]byte, error) {
	root := make(map[string]any, len(sections))
	for name, section := range sections {
		root[name] = section
	}
	return yaml.Parser().Marshal(root)
}

// checkConfig checks what the commands would check at their start, as far as that needs no network. Loading has found
// unknown keys and values of the wrong kind already.
func (a *app) checkConfig(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		a.configFile = args[0]
		if err := a.load(cmd); err != nil {
			return err
		}
	}
	if err := a.config.Dev.check(); err != nil {
		return fmt.Errorf("dev: %w", err)
	}
	if a.config.Sequencer.NodeID != "" {
		if err := a.config.Sequencer.check(); err != nil {
			return fmt.Errorf("sequencer: %w", err)
		}
	}
	if len(a.config.Delivery.Sequencers) > 0 {
		if err := a.config.Delivery.check(); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
	}
	if err := a.config.Push.check(); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), "ok")
	return err
}

// initConfig writes the defaults to a new file; it never writes over one.
func initConfig(name string) error {
	config := defaultConfig()
	text, err := yamlOf(tree(settingsOf(&config)))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (a *app) docConfig(w io.Writer) error {
	type line struct {
		Key     string `json:"key"`
		Env     string `json:"env"`
		Default any    `json:"default"`
		Doc     string `json:"doc"`
	}
	config := defaultConfig()
	var lines []line
	var rows [][]string
	for _, s := range settingsOf(&config) {
		l := line{s.key, envName(s.key), s.plain(), s.doc}
		lines = append(lines, l)
		rows = append(rows, []string{l.Key, l.Env, s.value.String(), l.Doc})
	}
	return a.print(w, lines, []string{"KEY", "ENVIRONMENT", "DEFAULT", "MEANING"}, rows)
}
