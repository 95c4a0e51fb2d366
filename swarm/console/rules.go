package console

// rules are the errors of other packages that have a code of their own, in the
// order in which they are tried. What is not here, is no Fault and is no error of
// the system ends with 1.
func rules() []rule {
	return []rule{
		is(ErrNoHolder, Locked, "another process holds the state directory; stop it, or give this command its own --state-dir"),
	}
}
