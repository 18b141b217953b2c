/*
 * Records of translated code, shared between processes (user mode)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_TB_RECORDS_H
#define TCG_TB_RECORDS_H

#include "exec/vaddr.h"

typedef struct TCGContext TCGContext;

/* Whether records are used or made in this process. */
extern bool tb_records_on;

/**
 * tb_records_dir: set the directory for the records that this process makes.
 * @dir: a directory of this user that nobody else can write to.
 */
void tb_records_dir(const char *dir);

/**
 * tb_records_init: find the records for this process.
 * @cpu: the first CPU, which has not run yet.
 * @model: the CPU model, as the option -cpu takes it.
 *
 * To be called when guest_base is final. Anything that is missing or does not
 * fit means that there are no records, which is no error.
 */
void tb_records_init(CPUState *cpu, const char *model);

/**
 * tb_records_load: look for a record of a block.
 * @tb: the block, with all that is known before it is translated; its code
 *      goes to @tb->tc.ptr.
 * @pc: guest address of the block.
 * @host_pc: the guest's bytes there.
 * @search_size: set to the size of the unwind information behind the code.
 *
 * The page of the guest must be protected against unnoticed stores.
 *
 * Returns: the size of the code, or 0 if there is no such record.
 */
int tb_records_load(TranslationBlock *tb, vaddr pc, const void *host_pc,
                    int *search_size);

/**
 * tb_records_add: record a block that has been translated.
 * @tb: the block, not linked to others yet.
 *
 * The other parameters are as for tb_records_load().
 */
void tb_records_add(const TranslationBlock *tb, vaddr pc, const void *host_pc,
                    int search_size);

/* tb_records_fork: forget in a new process what the parent will save. */
void tb_records_fork(void);

/* tb_records_save: append what was recorded to the file in the directory. */
void tb_records_save(void);

/*
 * For the host's code generator.
 */
#ifdef CONFIG_USER_ONLY

/* tb_records_ref: the next 32 bits of code have a relative reference to @target. */
void tb_records_ref(TCGContext *s, uintptr_t target);

/* tb_records_value: the code contains @value as it is. */
void tb_records_value(TCGContext *s, uintptr_t value);

/* tb_records_inside: whether, with records, @value is an address in the block. */
bool tb_records_inside(TCGContext *s, uintptr_t value);

/**
 * tb_records_near: whether a constant may be made from the instruction's own
 * address.
 * @s: the context of the block.
 * @value: the constant.
 *
 * With records, this is right for addresses in the block alone, which move
 * with it. A guest's constant may be near by chance.
 */
bool tb_records_near(TCGContext *s, uintptr_t value);

/**
 * tb_records_prologue: leave room behind the prologue for veneers, by which
 * QEMU's functions are called that are out of reach (aarch64).
 * @s: the context in which the prologue has just been generated.
 */
void tb_records_prologue(TCGContext *s);

/**
 * tb_records_reach: what the next instruction calls to call @target (aarch64).
 * @s: the context of the block.
 * @target: a function of QEMU.
 *
 * Returns: with records, @target's veneer if @target is out of reach; otherwise
 * @target.
 */
const void *tb_records_reach(TCGContext *s, const void *target);

/**
 * tb_records_place: where the code buffer is within reach of QEMU's own code.
 * @size: its size.
 *
 * Code from records that calls QEMU can only be used there.
 *
 * Returns: an address for mmap(), which is a hint, or NULL.
 */
void *tb_records_place(size_t size);
#else
static inline void tb_records_ref(TCGContext *s, uintptr_t target) { }
static inline void tb_records_value(TCGContext *s, uintptr_t value) { }
static inline bool tb_records_inside(TCGContext *s, uintptr_t value)
{
    return false;
}
static inline bool tb_records_near(TCGContext *s, uintptr_t value)
{
    return true;
}
static inline void tb_records_prologue(TCGContext *s) { }
static inline const void *tb_records_reach(TCGContext *s, const void *target)
{
    return target;
}
static inline void *tb_records_place(size_t size)
{
    return NULL;
}
#endif

#endif
