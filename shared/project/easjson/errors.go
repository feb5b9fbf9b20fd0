package easjson

// Class is the name of the error class that Expo's parser throws.
type Class string

// The classes of Expo's parser.
const (
	// ClassInvalid means that the file is not JSON5, or has keys or values that are not allowed.
	ClassInvalid Class = "InvalidEasJsonError"
	// ClassMissingFile means that there is no eas.json.
	ClassMissingFile Class = "MissingEasJsonError"
	// ClassMissingProfile means that the file has no profile of the requested name.
	ClassMissingProfile Class = "MissingProfileError"
	// ClassMissingParent means that a profile extends one that does not exist.
	ClassMissingParent Class = "MissingParentProfileError"
	// ClassOther is used for a chain of "extends" that is too long.
	ClassOther Class = "Error"
)

// Error is a refusal as Expo's parser words it.
type Error struct {
	Class   Class
	Message string
	// Problems has an entry for each problem of the schema, without the place of a syntax error.
	Problems []Problem
}

// Problem is one violation of the schema.
type Problem struct {
	// Path leads to the key, such as "build.production.node".
	Path string
	// Message is the whole sentence, usually with the path.
	Message string
}

func (e *Error) Error() string { return e.Message }
