// Files that are cut short while they are mapped.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <numeric>
#include <thread>

#include "fathom/io/files.h"
#include "fathom/io/safetensors.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using ::testing::HasSubstr;
using testing::slurp;
using testing::spill;
using testing::TempFolder;

constexpr size_t kMiB = 1 << 20;

uint64_t sum_of(Span<const std::byte> bytes) {
  uint64_t sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<uint64_t>(byte);
  return sum;
}

TEST(MappingGuard, AFileThatIsCutReadsAsZerosAndIsToldOf) {
  TempFolder folder;
  spill(folder / "big", std::string(kMiB, '\1'));
  const MappedFile file(folder / "big");
  EXPECT_NO_THROW(file.require_whole());
  EXPECT_FALSE(file.was_changed());
  fs::resize_file(folder / "big", 8192);
  EXPECT_EQ(sum_of(file.bytes()), 8192U);
  EXPECT_THAT(error_of([&] { file.require_whole(); }),
              HasSubstr("/big was cut short while it was being read"));
  EXPECT_TRUE(file.was_changed());
}

TEST(MappingGuard, ACutWithinAPageIsToldOfToo) {
  TempFolder folder;
  spill(folder / "small", std::string(1000, '\1'));
  const MappedFile file(folder / "small");
  fs::resize_file(folder / "small", 10);
  EXPECT_EQ(sum_of(file.bytes()), 10U) << "no signal comes";
  EXPECT_THAT(error_of([&] { file.require_whole(); }), HasSubstr("cut short"));
}

TEST(MappingGuard, AFileThatWasCutAndFilledAgainIsToldOf) {
  TempFolder folder;
  spill(folder / "big", std::string(kMiB, '\1'));
  const MappedFile file(folder / "big");
  fs::resize_file(folder / "big", 0);
  EXPECT_EQ(sum_of(file.bytes()), 0U);
  spill(folder / "big", std::string(kMiB, '\2'));
  EXPECT_THAT(error_of([&] { file.require_whole(); }), HasSubstr("cut short"));
}

TEST(MappingGuard, GrowingAndBeingReplacedIsFine) {
  TempFolder folder;
  spill(folder / "log", std::string(kMiB, '\1'));
  const MappedFile file(folder / "log");
  std::ofstream(folder / "log", std::ios::app) << std::string(kMiB, '\1');
  EXPECT_EQ(sum_of(file.bytes()), kMiB);
  EXPECT_NO_THROW(file.require_whole());
  write_file_durably(folder / "log", as_bytes("short"));
  EXPECT_EQ(sum_of(file.bytes()), kMiB);
  EXPECT_NO_THROW(file.require_whole());
}

TEST(MappingGuard, SeveralThreadsMayMeetTheCut) {
  TempFolder folder;
  spill(folder / "big", std::string(16 * kMiB, '\1'));
  const MappedFile file(folder / "big");
  fs::resize_file(folder / "big", kMiB);
  std::atomic<uint64_t> total = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { total += sum_of(file.bytes()); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, 4 * kMiB);
  EXPECT_THROW(file.require_whole(), Error);
}

// The net: nobody asked the mapping, but nothing is written of what it showed.
TEST(MappingGuard, NothingIsCommittedUntilTheCutIsToldOf) {
  TempFolder folder;
  spill(folder / "big", std::string(kMiB, '\1'));
  auto file = std::make_unique<MappedFile>(folder / "big");
  MappedFile moved(std::move(*file));
  fs::resize_file(folder / "big", 0);
  EXPECT_EQ(sum_of(moved.bytes()), 0U);
  EXPECT_THAT(error_of([&] { write_file_durably(folder / "sum", as_bytes("0")); }),
              HasSubstr("/big was cut short"));
  {
    StagedFolder staged(folder / "corpus");
    EXPECT_THAT(error_of([&] { staged.commit(); }), HasSubstr("/big was cut short"));
  }
  EXPECT_THAT(folder.entries(), ::testing::ElementsAre("big"));
  EXPECT_THROW(require_whole_mappings(), Error);
  EXPECT_THROW(moved.require_whole(), Error);
  EXPECT_NO_THROW(require_whole_mappings());
  EXPECT_NO_THROW(write_file_durably(folder / "sum", as_bytes("0")));
}

TEST(MappingGuard, TheKernelsOwnReadingOfACutMappingSaysSo) {
  TempFolder folder;
  spill(folder / "weights", std::string(4 * kMiB, '\1'));
  const MappedFile file(folder / "weights");
  fs::resize_file(folder / "weights", 4096);
  EXPECT_THAT(error_of([&] { write_file_durably(folder / "copy", file.bytes()); }),
              HasSubstr("/weights was cut short while it was being read"));
  EXPECT_THAT(folder.entries(), ::testing::ElementsAre("weights"));
  EXPECT_THROW(file.require_whole(), Error);
}

TEST(MappingGuard, WeightsThatAreCutAreNotCalledDamaged) {
  TempFolder folder;
  std::vector<float> values(100'000);
  std::iota(values.begin(), values.end(), 1.0F);
  write_safetensors(
      folder / "w",
      {{"a", Dtype::F32, {100'000}, {reinterpret_cast<const std::byte*>(values.data()), 400'000}}});
  const SafetensorsFile file = SafetensorsFile::open(folder / "w");
  EXPECT_NO_THROW(file.require_whole());
  fs::resize_file(folder / "w", 50'000);
  EXPECT_GT(sum_of(file.bytes(*file.find("a"))), 0U);
  EXPECT_THAT(error_of([&] { file.require_whole(); }), HasSubstr("/w was cut short"));
}

// What else is SIGBUS ends the process as it always did.
TEST(MappingGuard, ABusErrorElsewhereIsFatal) {
  TempFolder folder;
  spill(folder / "guarded", "x");
  const MappedFile guarded(folder / "guarded");  // the handler is installed
  spill(folder / "big", std::string(kMiB, '\1'));
  const auto dies_of = [](auto action) {
    const pid_t child = ::fork();
    if (child == 0) {
      action();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    // A sanitizer's own handler, which was there before, exits with a report.
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) != 0 ? SIGBUS : 0;
  };
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(dies_of([&] {
              const int fd = ::open((folder / "big").c_str(), O_RDONLY);
              const auto* bytes =
                  static_cast<volatile char*>(::mmap(nullptr, kMiB, PROT_READ, MAP_PRIVATE, fd, 0));
              fs::resize_file(folder / "big", 0);
              (void)bytes[kMiB - 1];
            }),
            SIGBUS);
  EXPECT_EQ(dies_of([] { ::raise(SIGBUS); }), SIGBUS);
  ::testing::internal::GetCapturedStderr();
}

}  // namespace
}  // namespace fathom
