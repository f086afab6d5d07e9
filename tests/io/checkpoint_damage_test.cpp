// Every kind of damage to a complete checkpoint is found, and the one before it is taken instead.
#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fathom/base/random.h"
#include "io/checkpoints.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::caught;
using ::testing::HasSubstr;
using testing::kCheckpointFiles;
using testing::save_small;
using testing::slurp;
using testing::spill;
using testing::TempFolder;

constexpr size_t kFloats = 5000;  // 20 kB of model, 40 kB of moments

// `last` of step 2, which is to be damaged, and `step-000000001`, which is to be taken then.
class CheckpointDamage : public ::testing::Test {
 protected:
  CheckpointDamage() {
    save_small(folder_ / numbered_name(1), 1, kFloats);
    save_small(folder_ / "last", 2, kFloats);
    for (const std::string& name : kCheckpointFiles) contents_.push_back(slurp(path_of(name)));
  }

  std::string path_of(const std::string& name) const { return folder_ / "last/" + name; }
  void restore(size_t file) const { spill(path_of(kCheckpointFiles[file]), contents_[file]); }
  bool is_found() const {
    try {
      verify_checkpoint(folder_ / "last");
      return false;
    } catch (const Error& error) {
      return std::string(error.what()).find(folder_ / "last ") == 0;
    }
  }
  void expect_previous(const std::string& what) const {
    EXPECT_TRUE(is_found()) << what;
    const auto choice = newest_complete(folder_.path());
    ASSERT_TRUE(choice.has_value()) << what;
    EXPECT_EQ(choice->folder, folder_ / numbered_name(1)) << what;
    EXPECT_EQ(choice->step, 1) << what;
    ASSERT_EQ(choice->skipped.size(), 1u) << what;
  }

  TempFolder folder_;
  std::vector<std::string> contents_;  // by kCheckpointFiles
};

TEST_F(CheckpointDamage, OneBitAnywhereIsFoundAThousandTimes) {
  uint64_t bytes = 0;
  for (const std::string& content : contents_) bytes += content.size();
  const RandomStream random(2024, "damage");
  int found = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    uint64_t bit = random.below(i, 8 * bytes);
    size_t file = 0;
    for (; bit >= 8 * contents_[file].size(); ++file) bit -= 8 * contents_[file].size();
    testing::flip_bit(path_of(kCheckpointFiles[file]), bit);
    found += is_found();
    testing::flip_bit(path_of(kCheckpointFiles[file]), bit);
  }
  EXPECT_EQ(found, 1000);
  verify_checkpoint(folder_ / "last");
}

// Random bits hit the small files too rarely.
TEST_F(CheckpointDamage, EveryBitOfTheSmallFilesIsFound) {
  for (const size_t file : {0, 3}) {
    const std::string path = path_of(kCheckpointFiles[file]);
    const uint64_t bits = 8 * contents_[file].size();
    for (uint64_t bit = 0; bit < bits; ++bit) {
      testing::flip_bit(path, bit);
      ASSERT_TRUE(is_found()) << path << " bit " << bit;
      testing::flip_bit(path, bit);
    }
  }
  verify_checkpoint(folder_ / "last");
}

TEST_F(CheckpointDamage, AFileCutShortAnywhereIsRefused) {
  constexpr size_t kPage = 4096;
  int cuts = 0;
  for (size_t file = 0; file < kCheckpointFiles.size(); ++file) {
    const std::string& name = kCheckpointFiles[file];
    const size_t size = contents_[file].size();
    std::vector<size_t> lengths = {size - 1};
    for (size_t length = 0; length < size; length += kPage) lengths.push_back(length);
    for (const size_t length : lengths) {
      fs::resize_file(path_of(name), length);
      EXPECT_THAT(caught([&] { verify_checkpoint(folder_ / "last"); }).what(),
                  HasSubstr("last is incomplete: " + name));
      expect_previous(name + " of " + std::to_string(length) + " bytes");
      restore(file);
      ++cuts;
    }
  }
  EXPECT_EQ(cuts, 4 + 2 + 5 + 10);
  EXPECT_EQ(newest_complete(folder_.path())->step, 2);
}

// A power cut may keep the size and lose what is behind some page.
TEST_F(CheckpointDamage, PagesOfZeroesAreRefused) {
  constexpr size_t kPage = 4096;
  for (size_t file = 0; file < kCheckpointFiles.size(); ++file) {
    for (size_t at = 0; at < contents_[file].size(); at += kPage) {
      std::string content = contents_[file];
      std::fill(content.begin() + static_cast<std::ptrdiff_t>(at), content.end(), '\0');
      spill(path_of(kCheckpointFiles[file]), content);
      expect_previous(kCheckpointFiles[file] + " from byte " + std::to_string(at));
      restore(file);
    }
  }
}

TEST_F(CheckpointDamage, FilesMissingOrSwappedAreRefused) {
  for (size_t file = 0; file < kCheckpointFiles.size(); ++file) {
    const std::string path = path_of(kCheckpointFiles[file]);
    fs::remove(path);
    expect_previous(path + " removed");
    fs::create_directory(path);
    expect_previous(path + " a folder");
    fs::remove(path);
    spill(path, slurp(folder_ / "step-000000001/" + kCheckpointFiles[file]));
    expect_previous(path + " of another checkpoint");
    spill(path, contents_[file] + "\n");
    expect_previous(path + " longer");
    restore(file);
  }
  // A note beside them is nobody's business.
  for (const char* name : {"extra", ".DS_Store", ".state.json.tmp-1"}) spill(path_of(name), "");
  EXPECT_EQ(newest_complete(folder_.path())->step, 2);
}

}  // namespace
}  // namespace fathom
