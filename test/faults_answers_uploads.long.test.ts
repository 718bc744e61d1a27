import { describe } from 'node:test';
import { answersGoneWrong, UPLOADS } from './faults_answers_lives.ts';
import { faultWorld } from './faults_answers_world.ts';

faultWorld();

describe('WeChat Pay answers an upload, and a verification,', { concurrency: 12, timeout: 180_000 }, () =>
  answersGoneWrong(UPLOADS),
);
