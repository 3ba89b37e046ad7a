package raftfsm

// commandKind is the byte that names a command in an entry.
type commandKind byte

const (
	kindCreateChat commandKind = iota + 1
	kindChangeMembers
	kindAppend
	kindReceipt
	kindClaimPair
	kindPutUserChat
	kindAckOutbox
	kindExpire
)

func (CreateChat) kind() commandKind    { return kindCreateChat }
func (ChangeMembers) kind() commandKind { return kindChangeMembers }
func (Append) kind() commandKind        { return kindAppend }
func (Receipt) kind() commandKind       { return kindReceipt }
func (ClaimPair) kind() commandKind     { return kindClaimPair }
func (PutUserChat) kind() commandKind   { return kindPutUserChat }
func (AckOutbox) kind() commandKind     { return kindAckOutbox }
func (Expire) kind() commandKind        { return kindExpire }
