// Formulas as data: `target = expression [attribute = text, ...]`. Of wirings, which say how a
// block joins its parts (wiring.h), and of objectives. What names and calls mean, and which are
// allowed, says the checker of each. Torch-free.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct Expr {
  enum Op {
    kName,
    kNumber,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kGreater,  // 1 where a > b, else 0
    kAttention,
    kMlp,
    kNorm,
    kFunction,  // F.name(...), an experiment's own
    kCall,      // name(...), one of the language's
  };
  Op op = kNumber;
  std::string name;        // of kName (prev.ce, too), kFunction (without F.) and kCall
  double number = 0;       // of kNumber
  int part = 0;            // k of A[k], M[k], N[k]
  std::vector<Expr> args;  // two for + - * / >, one to three for A, else what the call takes
  int column = 0;          // where the text has it, from 1; 0: no text
};

struct Attribute {
  std::string name;
  std::string text;
  int column = 0;
};

struct Statement {
  std::string target;
  Expr value;
  std::vector<Attribute> attributes = {};
  int column = 0;
  std::string typed = {};  // its text, as far as there was one
};

// The same formula; columns and what was typed do not count.
bool operator==(const Expr& a, const Expr& b);
bool operator==(const Attribute& a, const Attribute& b);
bool operator==(const Statement& a, const Statement& b);

// Canonical text, which is the tree: equal trees print alike, and others do not. What was parsed
// prints such that it reads back as the same tree.
std::string to_text(const Expr& e);
std::string to_text(const Statement& s);
std::string to_text(const std::vector<Statement>& statements);  // separated by "; "

// Letters, digits and _, not a digit first; dots join several.
bool is_formula_name(std::string_view text);

// Grammar (docs/wiring.md):
//
//   formula   = statement { (";" | newline) statement }, each may be empty; # begins a comment
//   statement = name "=" value [ "[" attribute { "," attribute } "]" ]
//   attribute = name "=" text without , ; # or newline; commas may stand in brackets
//   value     = sum [ ">" sum ]
//   sum       = product { ("+" | "-") product }
//   product   = factor { ("*" | "/") factor }
//   factor    = "-" factor | number | name | call | "(" value ")"
//   call      = (name | ("A" | "M" | "N") [ "[" number "]" ]) "(" [ value { "," value } ] ")"
//
// -x is (-1)*x, and -2 a number; sig is sigmoid. Newlines in parentheses are spaces.
// `what` begins the message: Error(kUsage) with the column, in code points of the text from 1.
// Texts are at most kLongestFormula bytes, values at most kDeepestFormula operations deep.
std::vector<Statement> parse_formula(std::string_view text, const std::string& what);
constexpr size_t kLongestFormula = 8192;
constexpr int kDeepestFormula = 50;

// Builders: wire::name("r") + wire::attention(wire::name("n")).
namespace wire {
Expr name(std::string name);
Expr number(double number);
Expr attention(Expr x, int part = 0);
Expr attention(Expr x, Expr values, int part = 0);
Expr attention(Expr x, Expr keys, Expr values, int part = 0);
Expr mlp(Expr x, int part = 0);
Expr norm(Expr x, int part = 0);
Expr sigmoid(Expr x);
Expr mean(Expr x);  // over channels
Expr sum(Expr x);   // over channels
Expr greater(Expr a, Expr b);
Expr function(std::string name, std::vector<Expr> args);
Expr call(std::string name, std::vector<Expr> args);
}  // namespace wire
Expr operator+(Expr a, Expr b);
Expr operator-(Expr a, Expr b);
Expr operator*(Expr a, Expr b);
Expr operator/(Expr a, Expr b);

}  // namespace fathom
