// The notebook's log lines, read back.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "fathom/track/notebook_log.h"

namespace fathom::testing {

// As the notebook's own plots read a line: words apart at white space, word 0 is "@", then step,
// stream and value. False: the line is none of them.
struct NotebookPoint {
  long step = -1;
  std::string stream;
  double value = 0;
};
inline bool read_notebook_point(const std::string& line, NotebookPoint& point) {
  std::istringstream words(line);
  std::string sign, step, value;
  if (!(words >> sign >> step >> point.stream >> value) || sign != "@") return false;
  char* end = nullptr;
  point.step = std::strtol(step.c_str(), &end, 10);
  if (*end != 0) return false;
  point.value = std::strtod(value.c_str(), &end);
  return *end == 0;  // a comma that clings to the number is no number
}

// The number behind a word of the line; 0 where there is none.
inline double number_behind(const std::string& line, const std::string& word) {
  const size_t at = line.find(word);
  return at == std::string::npos ? 0 : std::strtod(line.c_str() + at + word.size(), nullptr);
}

// "3, 4.5" or "3,4.5" between two letters of the line.
inline std::vector<double> numbers_between(const std::string& line, char open, char close) {
  std::vector<double> out;
  const size_t from = line.find(open), to = line.find(close);
  if (from == std::string::npos || to == std::string::npos) return out;
  std::istringstream numbers(line.substr(from + 1, to - from - 1));
  for (std::string one; std::getline(numbers, one, ',');) out.push_back(std::stod(one));
  return out;
}

inline NotebookStep read_notebook_step(const std::string& line) {
  NotebookPoint point;
  NotebookStep s;
  if (!read_notebook_point(line, point) || point.stream != "train") return s;
  s.step = point.step;
  s.train = point.value;
  s.all = number_behind(line, "allloss: ");
  s.confidence = number_behind(line, "confloss: ");
  s.target = number_behind(line, "targetloss: ");
  s.early_stop = number_behind(line, "earlystop: ");
  s.early_stops = numbers_between(line, '[', ']');
  s.learning_rate = number_behind(line, "lr:");
  s.gradient_norm = number_behind(line, "norm:");
  s.milliseconds = number_behind(line, "dt: ");
  s.tokens_per_second = number_behind(line, "tok/sec: ");
  s.flops = number_behind(line, "flops:");
  s.batch_reuse = static_cast<int64_t>(number_behind(line, "batch-reuse:"));
  return s;
}

inline NotebookSizes read_notebook_sizes(const std::string& size_line,
                                         const std::string& info_line) {
  NotebookSizes s;
  s.previous = number_behind(size_line, "prev ");
  s.middle = number_behind(size_line, "mid ");
  s.next = number_behind(size_line, "next ");
  s.delta = number_behind(info_line, "attn*mlp ");
  return s;
}

}  // namespace fathom::testing
