// On what a trained model is to be evaluated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/data/choices.h"
#include "fathom/data/numbers/example.h"
#include "fathom/data/word_problems.h"
#include "fathom/study/asked/model_choice.h"

namespace fathom {

struct EvalJob {
  ModelChoice model;
  std::string split = "val";
  std::string dataset;  // empty: the one it was trained on
  int64_t batch_size = 32;
  int64_t max_batches = 0;  // 0: the whole split
  // Side by side on the same batches: counts of every loop group, ascending, and evaluations as a
  // run's configuration has them; both empty: the model as it is.
  std::vector<int64_t> loops;
  std::string evaluations;
  // In place of a split: questions with endings to choose from; empty: none.
  std::string choices_file;
  int64_t examples = 0;         // of the file (or of problems), the first ones; 0: all
  std::vector<Choice> choices;  // that are in it
  // In place of a split: problems in words, whose answers are numbers; empty: none.
  std::string problems_file;
  std::vector<WordProblem> problems;
  PassedOver no_problems;                 // lines of it
  std::string prompt_end = "\\nAnswer:";  // as it is typed; behind each question
  int64_t answer_tokens = 32;             // that are looked at
  // Of a run on generated numbers, other settings than its own; unset: those.
  std::optional<NumbersConfig> numbers;
  std::vector<std::string> numbers_given;  // "value_range = [-100.0,100.0]"
};

// Settings of generated numbers that may be others than the run's: they change what is asked, and
// neither vocabulary nor labels' form.
const std::vector<std::string>& numbers_keys();
// What was given of them, over the run's own. Where nothing is generated they are told to be in
// vain.
void take_numbers(const FieldList& list, const RunConfig& run, EvalJob& request);

// Refuses evaluations of other batches than the others'.
void check_evaluations(const EvalJob& request, const ModelConfig& model);
// What is asked has something that the model answers. Throws Error(kUsage).
void require_answers(const RunConfig& run, const EvalJob& request);

}  // namespace fathom
