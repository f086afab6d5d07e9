// What the data tests share: corpora in a temporary folder.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "errors.h"
#include "fathom/data/corpus.h"
#include "fathom/data/shard.h"
#include "io/temp_folder.h"

namespace fathom::testing {

using ::testing::HasSubstr;

// An environment variable for the length of a test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { ::setenv(name_, old_.c_str(), 1); }

 private:
  const char* name_;
  std::string old_;
};

// A test with a data folder of its own.
class DataTest : public ::testing::Test {
 protected:
  TempFolder temp_;
  ScopedVariable root_{"FATHOM_DATA", temp_ / "data"};
};

inline void write_shard(const std::string& path, const std::vector<uint32_t>& ids,
                        ShardFormat format = ShardFormat::kNanoGpt) {
  ShardWriter writer(path, format);
  writer.append(ids);
  writer.finish();
}

inline std::vector<int64_t> all_tokens(const TokenShard& shard) {
  std::vector<int64_t> tokens(shard.size());
  shard.copy(0, {tokens.data(), tokens.size()});
  return tokens;
}

// 0, 1, ..., n - 1, so that a token says where it stood.
inline std::vector<uint32_t> counting(uint32_t n, uint32_t first = 0) {
  std::vector<uint32_t> ids(n);
  for (uint32_t i = 0; i < n; ++i) ids[i] = first + i;
  return ids;
}

}  // namespace fathom::testing
