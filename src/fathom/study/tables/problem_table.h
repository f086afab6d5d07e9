// What a model answers to problems in words, as numbers. Torch-free: the numbers, and the report of
// them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

struct ProblemAnswer {
  double truth = 0;
  std::string text;             // what the model went on with
  std::optional<double> given;  // the first number in it; unset: there is none
  std::vector<double> asked;    // the numbers of the question
  bool is_cut = false;          // question and answer are more than the model sees at once
};

// |given - truth| <= max(1e-6, rtol |truth|): 4 and 4.0 are one number.
bool is_right(double given, double truth, double rtol);
inline constexpr double kExact = 1e-6, kNear = 1e-2;  // the tolerances that are told

struct ProblemTable {
  std::string run, file;  // and where the problems come from
  int64_t answer_tokens = 0;
  std::vector<ProblemAnswer> answers;  // at least one
  // Of the file's lines those that are no problems, and those whose questions the vocabulary lacks;
  // and why the first of each is not asked.
  int64_t no_problems = 0, unreadable = 0;
  std::string first_no_problem = {}, first_unreadable = {};
};

// For people: the share that is right at both tolerances with its interval, beside what needs no
// model: one of the question's numbers, whichever comes, and the answer that is right most often in
// this file. For programs every answer as well, for paired comparisons of two models.
report::Report problem_report(const ProblemTable& table);

}  // namespace fathom
