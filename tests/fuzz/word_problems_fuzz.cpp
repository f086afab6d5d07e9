// Problems in words: lines and files of any bytes, and the numbers of any text.
#include <cmath>

#include "fathom/data/word_problems.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string text = grown(in);
  for (const double number : numbers_in(text)) require(std::isfinite(number), "a number is finite");
  std::vector<WordProblem> problems;
  if (!accepts(8 * text.size(), [&] { problems = read_word_problems(text, "p.jsonl"); })) return;
  require(!problems.empty(), "a file has problems");
  problems.resize(std::min<size_t>(problems.size(), 100));
  for (const WordProblem& problem : problems) {
    require(std::isfinite(problem.answer) && !problem.question.empty(), "it can be answered");
    require(read_word_problem(word_problem_line(problem), "again") == problem,
            "a line reads back as it was");
  }
}

}  // namespace fathom::fuzzing
