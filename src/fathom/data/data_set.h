// Data as a pure function of a cursor: the same cursor gives the same batch, whoever asks, in
// whatever order, before or after an interruption. A checkpoint stores the cursor and nothing else.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>

#include "fathom/data/token_batch.h"

namespace fathom {

// A place in a data set: whole numbers by name, whose meaning is the data set's own. A number that
// is 0 and one that is not there are the same.
class Cursor {
 public:
  Cursor() = default;
  Cursor(std::initializer_list<std::pair<std::string, int64_t>> numbers);

  int64_t operator[](const std::string& name) const;  // 0 if it is not there
  void set(const std::string& name, int64_t value);
  // The place in a data set that is a part of another: its numbers are "name.<theirs>".
  Cursor part(const std::string& name) const;
  void set_part(const std::string& name, const Cursor& place);

  bool operator==(const Cursor& other) const { return numbers_ == other.numbers_; }
  bool operator!=(const Cursor& other) const { return !(*this == other); }
  const std::map<std::string, int64_t>& numbers() const { return numbers_; }

 private:
  std::map<std::string, int64_t> numbers_;  // none is 0
};

// As an object of numbers. Reading throws Error for anything else, for a negative number and for
// more numbers than any data set has.
void to_json(nlohmann::json& json, const Cursor& cursor);
void from_json(const nlohmann::json& json, Cursor& cursor);

struct Drawn {
  TokenBatch batch;
  Cursor after;
  int64_t samples = 0;  // begun in this batch: windows, or rows of a file
};

class DataSet {
 public:
  virtual ~DataSet() = default;
  virtual Cursor start() const { return {}; }
  // The batch at `cursor`. Thread-safe. Throws Error for a cursor that does not fit the data, for a
  // token outside the vocabulary, and at the end of data that has one.
  virtual Drawn next(const Cursor& cursor) const = 0;
  // Samples of one epoch; unset: it has no end, and no epoch.
  virtual std::optional<int64_t> samples() const { return std::nullopt; }
  // False between the parts of a sample that is given in several, one behind the other.
  virtual bool is_between_samples(const Cursor& cursor) const {
    static_cast<void>(cursor);
    return true;
  }
  // The place where the next sample begins, if what is left of the present one is left out.
  virtual Cursor next_sample(const Cursor& cursor) const { return cursor; }
};

// How often data that goes round in the same order (SequentialShards) has given a sample by then,
// itself included, before which so many were given; `epoch`: samples of one round.
inline int64_t times_given(int64_t samples_before, int64_t epoch) {
  return epoch > 0 ? samples_before / epoch + 1 : 1;
}

}  // namespace fathom
