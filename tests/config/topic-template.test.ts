import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateCaptures, topicTemplateProblem } from '../../config/topic-template.ts';
import { templateProblem } from '../../hub/process/decode/template.ts';

const GOOD = [
  '{device}',
  'site/{area}/{device}/{metric}',
  '+/{device}/#',
  'a/{device}/+',
  '{device}/{Tag_1}',
];
const BAD = {
  '': /is empty/,
  'a/b': /no `\{device\}`/,
  'a/{metric}': /no `\{device\}`/,
  'a/x{device}': /whole level/,
  'a/{device}y': /whole level/,
  'a/{device': /whole level/,
  '{}/{device}': /whole level/,
  '{1}/{device}': /whole level/,
  '{a-b}/{device}': /whole level/,
  '{device}/{device}': /twice/,
  '#/{device}': /last level/,
  'a+/{device}': /whole level/,
};

describe('topic templates', () => {
  it('capture whole levels, the device among them', () => {
    for (const template of GOOD) assert.equal(topicTemplateProblem(template), undefined, template);
    for (const [template, why] of Object.entries(BAD))
      assert.match(topicTemplateProblem(template) ?? 'none', why, template);
    assert.deepEqual(templateCaptures('site/{area}/+/{device}/#'), ['area', 'device']);
  });

  it('are judged here as the decoder judges them', () => {
    for (const template of [...GOOD, ...Object.keys(BAD)])
      assert.equal(
        topicTemplateProblem(template) === undefined,
        templateProblem(template) === undefined,
        template,
      );
  });
});
