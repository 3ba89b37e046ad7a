package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const envPrefix = "QUORATE_"

// setting is one key of Config. value writes through to the field, whoever sets it: flag, environment or file; so there is
// one parser for all three.
type setting struct {
	key   string // section.name
	flag  string
	doc   string
	value pflag.Value
	field reflect.Value
}

// settingsOf lists the keys of c in the order of its fields.
func settingsOf(c *Config) []setting {
	var all []setting
	for section := range reflect.TypeFor[Config]().Fields() {
		fields := reflect.ValueOf(c).Elem().FieldByIndex(section.Index)
		for i := range fields.NumField() {
			tag := fields.Type().Field(i).Tag
			s := setting{
				key: section.Tag.Get("koanf") + "." + tag.Get("koanf"), flag: tag.Get("flag"), doc: tag.Get("doc"),
				value: valueOf(fields.Field(i).Addr().Interface()), field: fields.Field(i),
			}
			if s.flag == "" {
				s.flag = tag.Get("koanf")
			}
			all = append(all, s)
		}
	}
	return all
}

// valueOf gives the parser and writer of a field.
func valueOf(field any) pflag.Value {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	switch p := field.(type) {
	case *string:
		flags.StringVar(p, "v", *p, "")
	case *int:
		flags.IntVar(p, "v", *p, "")
	case *float64:
		flags.Float64Var(p, "v", *p, "")
	case *bool:
		flags.BoolVar(p, "v", *p, "")
	case *time.Duration:
		flags.DurationVar(p, "v", *p, "")
	case *[]string:
		flags.StringSliceVar(p, "v", *p, "")
	default:
		panic(fmt.Sprintf("BUG: no flag for a %T", field))
	}
	return flags.Lookup("v").Value
}

// bind offers the keys of a section as flags.
func (a *app) bind(flags *pflag.FlagSet, section string) {
	for _, s := range a.settings {
		if strings.HasPrefix(s.key, section+".") {
			flag := flags.VarPF(s.value, s.flag, "", s.doc)
			if s.value.Type() == "bool" {
				flag.NoOptDefVal = "true"
			}
		}
	}
}

// load completes the configuration of cmd: what a flag did not set comes from the environment, else from the file. It
// leaves the rest at its default.
func (a *app) load(cmd *cobra.Command) error {
	if a.output != "table" && a.output != "json" {
		return usagef("--output must be table or json, not %q", a.output)
	}
	layers, err := a.layers()
	if err != nil {
		return err
	}
	flagged := map[string]bool{}
	cmd.Flags().Visit(func(f *pflag.Flag) { flagged[f.Name] = true })
	for _, s := range a.settings {
		mine := cmd.Flags().Lookup(s.flag)
		if !layers.Exists(s.key) || (mine != nil && mine.Value == s.value && flagged[s.flag]) {
			continue
		}
		if err := s.set(layers.Get(s.key)); err != nil {
			return usagef("configuration key %s: %w", s.key, err)
		}
	}
	return a.checkLog()
}

// layers reads file and environment into one tree. An unknown key is an error that names it and where it stands.
func (a *app) layers() (*koanf.Koanf, error) {
	merged := koanf.New(".")
	name := a.configFile
	environment := koanf.New(".")
	err := environment.Load(env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return a.environ },
		TransformFunc: func(variable, value string) (string, any) {
			if variable == envPrefix+"CONFIG" {
				if name == "" {
					name = value
				}
				return "", nil
			}
			return envKey(variable), value
		},
	}), nil)
	if err != nil {
		return nil, usagef("environment: %w", err)
	}
	if name != "" {
		if err := merged.Load(file.Provider(name), yaml.Parser()); err != nil {
			return nil, usagef("configuration file %s: %w", name, err)
		}
		if err := a.checkKeys(merged, "configuration file "+name, func(key string) string { return key }); err != nil {
			return nil, err
		}
	}
	if err := a.checkKeys(environment, "environment", envName); err != nil {
		return nil, err
	}
	return merged, merged.Merge(environment)
}

// envKey turns QUORATE_SEQUENCER__NODE_ID into sequencer.node-id; envName is its inverse.
func envKey(variable string) string {
	key := strings.ToLower(strings.TrimPrefix(variable, envPrefix))
	return strings.ReplaceAll(strings.ReplaceAll(key, "__", "."), "_", "-")
}

func envName(key string) string {
	name := strings.ReplaceAll(strings.ReplaceAll(key, "-", "_"), ".", "__")
	return envPrefix + strings.ToUpper(name)
}

func (a *app) checkKeys(tree *koanf.Koanf, where string, show func(key string) string) error {
	known, sections := map[string]bool{}, map[string]bool{}
	for _, s := range a.settings {
		section, _ := splitKey(s.key)
		known[s.key], sections[section] = true, true
	}
	for _, key := range tree.Keys() {
		empty := sections[key] && tree.Get(key) == nil // a section with nothing under it
		if !known[key] && !empty {
			return usagef("%s: unknown key %s", where, show(key))
		}
	}
	return nil
}

// set writes what a file or the environment holds.
func (s setting) set(raw any) error {
	list, isList := raw.([]any)
	if slice, ok := s.value.(pflag.SliceValue); ok && isList {
		items := make([]string, len(list))
		for i, item := range list {
			items[i] = fmt.Sprint(item)
		}
		return slice.Replace(items)
	}
	switch raw.(type) {
	case string, int, int64, uint64, bool, float64:
	default:
		return fmt.Errorf("holds %T, wants one value", raw)
	}
	if slice, ok := s.value.(pflag.SliceValue); ok {
		return slice.Replace(splitList(fmt.Sprint(raw)))
	}
	if err := s.value.Set(fmt.Sprint(raw)); err != nil {
		return fmt.Errorf("%q is not a %s", fmt.Sprint(raw), s.value.Type())
	}
	return nil
}

// splitList splits a comma-separated list, leaving out empty items.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func (a *app) checkLog() error {
	if _, ok := logLevels[a.config.Log.Level]; !ok && a.config.Log.Level != "" {
		return usagef("log.level must be debug, info, warn or error, not %q", a.config.Log.Level)
	}
	if f := a.config.Log.Format; f != "text" && f != "json" {
		return usagef("log.format must be text or json, not %q", f)
	}
	return nil
}

// readSecret reads a file that holds one secret, without the line end that editors add.
func readSecret(name string) ([]byte, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	if secret == "" {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return []byte(secret), nil
}

// splitKey splits section.name.
func splitKey(key string) (section, name string) {
	section, name, _ = strings.Cut(key, ".")
	return section, name
}
