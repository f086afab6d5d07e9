// Problems of arithmetic told in words, whose answer is a number; a JSON line each:
//
//   {"question": "Ann has 3 pens and buys 2. How many has she?", "answer": "5"}
//   {"question": ..., "answer": "She has 3 + 2 pens.\n#### 5"}         as GSM8K (Cobbe et al. 2021)
//   {"Body": "Ann has 3 pens.", "Question": "...", "Answer": 5.0, ...}  as SVAMP (Patel et al.
//   2021)
//
// An answer may have commas between thousands and a currency's sign before it: "$1,250.50".
// All other fields are left alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

inline constexpr uint64_t kMostProblemBytes = 256 << 20;  // of a file; GSM8K's have 5 MB

struct WordProblem {
  std::string question;    // not empty
  double answer = 0;       // finite
  std::string place = {};  // where it was read: "p.jsonl, line 3"; empty: nowhere
};
bool operator==(const WordProblem& a, const WordProblem& b);  // wherever they were read

// `name` is for errors: "problems.jsonl, line 3". Throws Error for a line that is none.
WordProblem read_word_problem(std::string_view line, const std::string& name);
std::string word_problem_line(const WordProblem& problem);  // reads back as it was

// Lines that are no problems, and why the first of them is none.
struct PassedOver {
  int64_t lines = 0;
  std::string first;
};
// The problems of a file; the first `most` (0: all), behind which nothing is read. Blank lines are
// left out, and lines that are none passed over and counted (`passed` may be null). Throws Error
// for a text without any problem, with what is wrong with the first line.
std::vector<WordProblem> read_word_problems(std::string_view text, const std::string& path,
                                            int64_t most = 0, PassedOver* passed = nullptr);

// The numbers that a text has in digits, in order: "paid $1,250.50 for -3" has 1250.5 and -3. A
// comma is a number's where three digits follow it as thousands have them, a point where a digit
// does, a minus where no letter, digit or ")" stands before it. What no double holds is left out.
std::vector<double> numbers_in(std::string_view text);
std::optional<double> first_number(std::string_view text);

}  // namespace fathom
