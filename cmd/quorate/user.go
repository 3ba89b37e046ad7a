package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

func (a *app) userCommand() *cobra.Command {
	add := &cobra.Command{
		Use: "add NAME", Short: "Add a user, and print the password that is made for it", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.addUser(cmd, args[0]) },
	}
	passwd := &cobra.Command{
		Use: "passwd NAME", Short: "Make another password for a user, and print it", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.changePassword(cmd, args[0]) },
	}
	remove := &cobra.Command{
		Use: "remove NAME", Short: "Remove a user", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.removeUser(cmd, args[0]) },
	}
	list := &cobra.Command{
		Use: "list", Short: "Print the users and their roles", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listUsers(cmd) },
	}
	user := parent("user", "Keep the file of users that sequencer nodes read with --users", add, passwd, remove, list)
	a.bind(user.PersistentFlags(), "user")
	return user
}

func (a *app) addUser(cmd *cobra.Command, name string) error {
	role := trust.Role(a.config.User.Role)
	if role != trust.Operator && role != trust.Edge && role != trust.Reader {
		return usagef("--role must be operator, edge or reader, not %q", role)
	}
	if err := wire.CheckID("NAME", name); err != nil {
		return usagef("%s", detail(err))
	}
	users, err := trust.ReadUsersIfAny(a.config.User.File)
	if err != nil {
		return err
	}
	if users.Find(name) != nil || name == trust.DefaultUser {
		return fmt.Errorf("there is a user %s already", name)
	}
	password := trust.NewPassword()
	users.List = append(users.List, trust.User{Name: name, Role: role, Password: trust.HashPassword(password)})
	return a.tellPassword(cmd, users, name, password)
}

// changePassword gives a user a new password.
func (a *app) changePassword(cmd *cobra.Command, name string) error {
	users, at, err := a.findUser(name)
	if err != nil {
		return err
	}
	password := trust.NewPassword()
	users.List[at].Password = trust.HashPassword(password)
	return a.tellPassword(cmd, users, name, password)
}

func (a *app) findUser(name string) (*trust.Users, int, error) {
	users, err := trust.ReadUsers(a.config.User.File)
	if err != nil {
		return nil, 0, err
	}
	at := slices.IndexFunc(users.List, func(u trust.User) bool { return u.Name == name })
	if at < 0 {
		return nil, 0, fmt.Errorf("there is no user %s in %s", name, a.config.User.File)
	}
	return users, at, nil
}

// tellPassword writes the users, and tells the one password that nobody can read there. It is told first: a user whose
// password nobody knows would be of no use.
func (a *app) tellPassword(cmd *cobra.Command, users *trust.Users, name, password string) error {
	c := a.config.User
	told := map[string]string{"user": name, "role": string(users.Find(name).Role), "password": password}
	if c.PasswordOut != "" {
		if err := writeNew(c.PasswordOut, []byte(password+"\n")); err != nil {
			return err
		}
		told["password"] = "in " + c.PasswordOut
	}
	if err := users.Write(c.File); err != nil {
		return err
	}
	return a.print(cmd.OutOrStdout(), told, []string{"USER", "ROLE", "PASSWORD"},
		[][]string{{told["user"], told["role"], told["password"]}})
}

func (a *app) removeUser(cmd *cobra.Command, name string) error {
	users, at, err := a.findUser(name)
	if err != nil {
		return err
	}
	users.List = slices.Delete(users.List, at, at+1)
	if err := users.Write(a.config.User.File); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "ok")
	return err
}

func (a *app) listUsers(cmd *cobra.Command) error {
	users, err := trust.ReadUsers(a.config.User.File)
	if err != nil {
		return err
	}
	rows := make([][]string, len(users.List))
	for i, u := range users.List {
		rows[i] = []string{u.Name, string(u.Role)}
	}
	return a.print(cmd.OutOrStdout(), users.List, []string{"USER", "ROLE"}, rows)
}
