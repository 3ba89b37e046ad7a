package archive

import "time"

// Impatient has an S3 store wait for an answer for so long, whatever its size.
func Impatient(s Store, d time.Duration) { s.(*s3Store).patience = d } //nolint:forcetypeassert // the test opened it
